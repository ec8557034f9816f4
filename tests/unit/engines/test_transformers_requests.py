"""What the Transformers engine cannot honour is refused by name; what asks for nothing is accepted."""

import json
from typing import Any

import pytest

from engines.transformers.body import RequestError, parse
from engines.transformers.request import ChatBody, CompletionBody

USER = {"role": "user", "content": "hi"}


CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}


def function(parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "parameters": parameters}}


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def chat(**fields: Any) -> ChatBody:
    return parse(ChatBody, json.dumps({"messages": [USER], **fields}).encode())


def completion(**fields: Any) -> CompletionBody:
    return parse(CompletionBody, json.dumps({"prompt": "hi", **fields}).encode())


@pytest.mark.parametrize(
    ("param", "value"),
    [
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
        ({"messages": [{"role": "user", "content": "x", "tool_calls": [CALL]}]}, "messages.0.tool_calls"),
        ({"tools": [{"type": "custom", "function": {"name": "f"}}]}, "tools.0.type"),
        ({"tools": [{"type": "function", "function": {"name": "f g"}}]}, "tools.0.function.name"),
        ({"tools": [function({"type": "string"})]}, "tools.0.function.parameters"),
        ({"tools": [function({})] * 129}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [function({})], "tool_choice": "sometimes"}, "tool_choice"),
        ({"tools": [function({})], "tool_choice": named("g")}, "tool_choice"),
        ({"tools": [function({})], "parallel_tool_calls": "many"}, "parallel_tool_calls"),
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


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "user"}, "messages.0.content"),
        ({"role": "assistant", "content": None}, "messages.0.content"),
        ({"role": "tool", "tool_call_id": "call_1"}, "messages.0.content"),
        ({"role": "tool", "content": "12"}, "messages.0.tool_call_id"),
    ],
)
def test_what_a_message_needs_is_missed(message: Any, param: str) -> None:
    with pytest.raises(RequestError) as refused:
        chat(messages=[message])

    assert (refused.value.code, refused.value.param) == ("missing_required_parameter", param)


def test_a_call_can_be_sent_back_with_its_result() -> None:
    received = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "12"}

    called, told = [message.for_template() for message in chat(messages=[received, result]).messages]

    assert called["content"] == ""
    assert called["tool_calls"][0]["function"] == {"name": "f", "arguments": {"a": 1}}
    assert told == result


def test_none_of_the_tools_may_be_called_when_the_choice_is_none() -> None:
    assert chat(tools=[function({})], tool_choice="none").calling() is None


def test_a_named_choice_leaves_one_function_and_one_call() -> None:
    other = {"type": "function", "function": {"name": "other"}}

    calling = chat(tools=[function({}), other], tool_choice=named("f")).calling()

    assert calling is not None
    assert [function.name for function in calling.functions] == ["f"]
    assert (calling.required, calling.named, calling.parallel) == (True, True, False)


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
