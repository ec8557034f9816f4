"""The body of a chat request."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.settings import Bounds
from gateway.endpoints.chat import parse_chat
from gateway.http.errors import ApiError

BOUNDS = Bounds()
MESSAGES = [{"role": "user", "content": "Hi"}]


def refusal(payload: dict[str, Any]) -> ApiError:
    with pytest.raises(ApiError) as refused:
        parse_chat(payload, BOUNDS)
    assert refused.value.status == 400
    return refused.value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", -1),
        ("max_tokens", 0),
        ("max_tokens", "many"),
        ("max_tokens", True),
        ("max_completion_tokens", 1.5),
        ("temperature", "hot"),
        ("temperature", 2.1),
        ("top_p", -0.1),
        ("n", 1000),
        ("n", 0),
        ("stop", ["a", "b", "c", "d", "e"]),
        ("stop", "x" * 5000),
        ("seed", 1.5),
        ("presence_penalty", 3),
        ("logit_bias", {"1": 101}),
        ("top_logprobs", 21),
        ("stream", "yes"),
        ("stream_options", {"include_usage": True}),
        ("tools", [{}] * 200),
        ("response_format", {"schema": "x" * 100_000}),
        ("metadata", {str(number): "v" for number in range(17)}),
        ("user", 7),
        ("model", 7),
    ],
)
def test_a_field_out_of_bounds_is_named(field: str, value: object) -> None:
    assert refusal({"messages": MESSAGES, field: value}).param == field


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ("text", "messages"),
        ([], "messages"),
        (["text"], "messages.0"),
        ([{"role": "robot", "content": "Hi"}], "messages.0.role"),
        ([{"content": "Hi"}], "messages.0.role"),
        ([{"role": "user", "content": 3}], "messages.0.content"),
        ([{"role": "user", "content": [{"text": "no type"}]}], "messages.0.content"),
    ],
)
def test_a_message_of_the_wrong_shape_is_named_by_its_path(messages: object, param: str) -> None:
    assert refusal({"messages": messages}).param == param


def test_missing_messages_are_a_missing_parameter() -> None:
    assert refusal({}).code == "missing_required_parameter"


def test_top_logprobs_need_logprobs() -> None:
    assert refusal({"messages": MESSAGES, "top_logprobs": 2}).param == "top_logprobs"


def test_the_message_of_an_error_never_holds_the_value() -> None:
    assert "hunter2" not in str(refusal({"messages": MESSAGES, "temperature": "hunter2"}))


def test_fields_of_engines_own_go_to_the_engine() -> None:
    assert parse_chat({"messages": MESSAGES, "top_k": 5}, BOUNDS).payload["top_k"] == 5


def test_nulls_mean_defaults_as_the_sdk_may_send_them() -> None:
    nulls = dict.fromkeys(("temperature", "max_tokens", "n", "stop", "stream", "tools", "response_format", "seed"))
    assert parse_chat({"messages": MESSAGES, **nulls}, BOUNDS).choices == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from(["model", "messages", "n", "stop", "stream", "stream_options", "tools", "logit_bias", "x"])


@given(st.dictionaries(fields, json_values))
def test_any_object_is_accepted_or_refused_in_the_contract(payload: dict[str, Any]) -> None:
    try:
        parse_chat(payload, BOUNDS)
    except ApiError as refused:
        assert refused.status == 400
