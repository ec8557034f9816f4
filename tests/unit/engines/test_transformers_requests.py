"""What the Transformers engine cannot honour is refused by name; what asks for nothing is accepted."""

import json
from typing import Any

import pytest

from engines.transformers.body import RequestError, parse
from engines.transformers.request import ChatBody, CompletionBody

USER = {"role": "user", "content": "hi"}


def chat(**fields: Any) -> ChatBody:
    return parse(ChatBody, json.dumps({"messages": [USER], **fields}).encode())


def completion(**fields: Any) -> CompletionBody:
    return parse(CompletionBody, json.dumps({"prompt": "hi", **fields}).encode())


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("tools", [{"type": "function", "function": {"name": "f"}}]),
        ("tool_choice", "required"),
        ("functions", [{"name": "f"}]),
        ("function_call", {"name": "f"}),
        ("audio", {"voice": "alloy"}),
        ("modalities", ["text", "audio"]),
        ("prediction", {"type": "content", "content": "x"}),
        ("web_search_options", {}),
        ("reasoning_effort", "high"),
        ("verbosity", "low"),
        ("store", True),
        ("service_tier", "priority"),
        ("no_such_field", 1),
    ],
)
def test_a_wish_that_cannot_be_fulfilled_is_named(param: str, value: Any) -> None:
    with pytest.raises(RequestError) as refused:
        chat(**{param: value})

    assert (refused.value.status, refused.value.code, refused.value.param) == (400, "unsupported_parameter", param)
    assert param in refused.value.message


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": None, "tool_choice": "none", "parallel_tool_calls": True},
        {"tools": []},
        {"response_format": {"type": "text"}, "modalities": ["text"]},
        {"store": False, "metadata": {"a": "b"}, "user": "u", "service_tier": "auto"},
        {"temperature": None, "top_p": None, "n": None, "stop": None, "seed": None, "max_tokens": None, "stream": None},
        {"stop": ["a", "b", "c", "d"]},
    ],
)
def test_what_asks_for_nothing_is_accepted(fields: dict[str, Any]) -> None:
    assert chat(**fields).sampling(None).temperature == 1


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": 2.5}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"n": 0}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logit_bias": {"1": 101}}, "logit_bias"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages.0.role"),
    ],
)
def test_a_wrong_value_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as refused:
        chat(**fields)

    assert (refused.value.code, refused.value.param) == ("invalid_value", param)


def test_what_a_field_held_is_not_repeated() -> None:
    with pytest.raises(RequestError) as refused:
        chat(temperature="a secret")

    assert "secret" not in refused.value.message


def test_missing_messages_are_missed() -> None:
    with pytest.raises(RequestError) as refused:
        parse(ChatBody, b"{}")

    assert (refused.value.code, refused.value.param) == ("missing_required_parameter", "messages")


def test_a_body_that_is_no_json_is_told_so() -> None:
    with pytest.raises(RequestError) as refused:
        parse(ChatBody, b"{")

    assert refused.value.code == "invalid_json"


def test_an_assistants_message_can_be_sent_back_as_it_came() -> None:
    received = {
        "role": "assistant",
        "content": "Hello",
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
        "tool_calls": None,
    }

    body = chat(messages=[USER, received, USER])

    assert body.messages[1].for_template() == {"role": "assistant", "content": "Hello"}


def test_a_developer_is_a_system() -> None:
    assert chat(messages=[{"role": "developer", "content": "x"}]).messages[0].for_template()["role"] == "system"


def test_text_parts_are_one_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]

    assert chat(messages=[{"role": "user", "content": parts}]).messages[0].content == "a\nb"


def test_parts_other_than_text_are_refused() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:,"}}

    with pytest.raises(RequestError) as refused:
        chat(messages=[{"role": "user", "content": [image]}])

    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "messages.0.content")


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [("a", ["a"]), (["a", "b"], ["a", "b"]), ([1, 2], [[1, 2]]), ([[1], [2, 3]], [[1], [2, 3]])],
)
def test_a_prompt_has_four_forms(prompt: Any, prompts: list[Any]) -> None:
    assert completion(prompt=prompt).prompts() == prompts


def test_a_suffix_is_refused() -> None:
    with pytest.raises(RequestError) as refused:
        completion(suffix="end")

    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "suffix")


def test_a_prompt_of_another_form_is_named() -> None:
    with pytest.raises(RequestError) as refused:
        completion(prompt=[1.5])

    assert (refused.value.code, refused.value.param) == ("invalid_value", "prompt")
