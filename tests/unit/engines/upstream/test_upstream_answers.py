"""Whole answers of other servers, and the words in which they say how they ended."""

import json

import httpx
import pytest

from tests.published import mistakes
from tests.unit.engines.upstream.conftest import ASKED, Elsewhere, streamed
from tests.unit.engines.zoo import HELLO, LAST, USAGE, WRONG, chunk, events


@pytest.mark.parametrize("how", WRONG)
async def test_a_whole_answer_that_is_none_is_a_failure(
    client: httpx.AsyncClient, elsewhere: Elsewhere, how: str
) -> None:
    elsewhere.status, elsewhere.kind, elsewhere.body = WRONG[how]
    answer = await client.post("/chat/completions", json=ASKED)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_failed")
    assert "SECRET" not in answer.text


@pytest.mark.parametrize("size", [2, 2 * 2**20])
async def test_a_whole_answer_is_read_to_its_end_in_however_many_pieces_it_comes(
    client: httpx.AsyncClient, elsewhere: Elsewhere, size: int
) -> None:
    message = {"role": "assistant", "content": "y" * size}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = json.dumps({"id": "x", "object": "chat.completion", "choices": [choice], "usage": USAGE}).encode()
    elsewhere.kind, elsewhere.parts = "application/json", [body[:40], body[40:60], body[60:]]
    answer = await client.post("/chat/completions", json=ASKED)
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"] == {**message, "refusal": None}


async def test_an_error_that_is_said_to_be_an_object_keeps_its_words_to_itself(
    client: httpx.AsyncClient, elsewhere: Elsewhere
) -> None:
    elsewhere.kind, elsewhere.body = "application/json", b'{"object": "error", "message": "sk-SECRET"}'
    answer = await client.post("/embeddings", json={"model": "m", "input": "a"})
    assert (answer.status_code, "SECRET" in answer.text) == (502, False)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("MAX_TOKENS", "length"),
        ("model_length", "length"),
        ("eos_token", "stop"),
        ("end_turn", "stop"),
        ("SAFETY", "content_filter"),
        ("tool_use", "tool_calls"),
        ("whatever", "stop"),
        (7, "stop"),
    ],
)
async def test_a_reason_that_the_api_lacks_becomes_one_that_it_has(
    client: httpx.AsyncClient, elsewhere: Elsewhere, theirs: object, ours: str
) -> None:
    elsewhere.body = events(*HELLO, chunk({}, theirs), LAST, "[DONE]")
    assert (await streamed(client))[-2]["choices"][0]["finish_reason"] == ours
    elsewhere.kind, elsewhere.body = "application/json", whole(finish_reason=theirs)
    answer = await client.post("/chat/completions", json=ASKED)
    assert answer.json()["choices"][0]["finish_reason"] == ours


def whole(**choice: object) -> bytes:
    return json.dumps({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop", **choice}]}).encode()


async def test_a_whole_answer_has_what_the_api_requires_where_the_server_leaves_it_out(
    client: httpx.AsyncClient, elsewhere: Elsewhere
) -> None:
    calls = [{"function": {"name": "get", "arguments": {"a": 1}}}, {"id": "x", "function": {"name": "put"}}]
    choices = [{"message": None}, {"message": {"content": None, "tool_calls": calls}, "finish_reason": "tool_use"}]
    elsewhere.kind = "application/json"
    elsewhere.body = json.dumps({"choices": choices, "usage": USAGE}).encode()
    told = (await client.post("/chat/completions", json=ASKED)).json()
    assert mistakes("CreateChatCompletionResponse", told) == set()
    silent, calling = told["choices"]
    assert (silent["index"], silent["message"]["content"], silent["finish_reason"]) == (0, "", "stop")
    assert (calling["index"], calling["message"]["content"], calling["finish_reason"]) == (1, None, "tool_calls")
    first, second = calling["message"]["tool_calls"]
    assert (first["type"], first["function"]) == ("function", {"name": "get", "arguments": '{"a":1}'})
    assert first["id"].startswith("call_")
    assert (second["id"], second["function"]["arguments"]) == ("x", "")
