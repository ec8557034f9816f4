"""A line of a batch's input is held to what any request is held to."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.batches.lines import parse_line
from gateway.config.settings import Bounds
from gateway.http.errors import ApiError

CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
RIGHT: dict[str, Any] = {
    "custom_id": "a",
    "method": "POST",
    "url": CHAT,
    "body": {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
}


def parsed(line: Any, endpoint: str = CHAT) -> Any:
    return parse_line(orjson.dumps(line), endpoint, Bounds())


def test_a_right_line_is_a_call() -> None:
    line = parsed(RIGHT)
    assert (line.custom_id, line.call.path, line.call.model, line.inputs) == ("a", CHAT, "m", 0)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"custom_id": ""}, "custom_id"),
        ({"custom_id": 7}, "custom_id"),
        ({"method": "GET"}, "method"),
        ({"url": "/v1/completions"}, "url"),
        ({"url": None}, "url"),
        ({"body": []}, "body"),
        ({"body": {}}, "body.messages"),
        ({"body": {**RIGHT["body"], "stream": True}}, "body.stream"),
        ({"body": {**RIGHT["body"], "temperature": 9}}, "body.temperature"),
        ({"body": {**RIGHT["body"], "n": 1000}}, "body.n"),
    ],
)
def test_what_is_wrong_is_named_by_its_place_in_the_line(change: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as refused:
        parsed({**RIGHT, **change})
    assert (refused.value.status, refused.value.param) == (400, param)


@pytest.mark.parametrize("endpoint", [CHAT, "/v1/responses"])
def test_unknown_fields_are_dropped_where_the_operator_says_so(endpoint: str) -> None:
    body = {"input": "hi"} if endpoint != CHAT else RIGHT["body"]
    line = orjson.dumps({**RIGHT, "url": endpoint, "body": {**body, "max_toknes": 5}})
    assert parse_line(line, endpoint, Bounds(), "drop").body == body
    with pytest.raises(ApiError) as refused:
        parse_line(line, endpoint, Bounds())
    assert refused.value.param == "body.max_toknes"


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(raw: bytes) -> None:
    with pytest.raises(ApiError):
        parse_line(raw, CHAT, Bounds())


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(ApiError):
        parse_line(b'{"body":' * 1000 + b"1" + b"}" * 1000, CHAT, Bounds())


@pytest.mark.parametrize(("given_", "inputs"), [("a", 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1], [2]], 2)])
def test_inputs_to_be_embedded_are_counted(given_: Any, inputs: int) -> None:
    line = {**RIGHT, "url": EMBEDDINGS, "body": {"model": "m", "input": given_}}
    assert parsed(line, EMBEDDINGS).inputs == inputs
