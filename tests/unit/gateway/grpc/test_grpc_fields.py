"""A protobuf message and the JSON object that it stands for say the same."""

from typing import Any

import pytest

from gateway.grpc.chat_pb2 import ChatMessage, ChatRequest, ChatResponse, Usage
from gateway.grpc.fields import fill, to_json

MESSAGE = ChatMessage(role="user", content="hello")


def request(extra: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    message = ChatRequest(messages=[MESSAGE], **fields)
    message.extra.update(extra or {})
    return to_json(message)


def test_only_what_is_set_is_said() -> None:
    assert request() == {"messages": [{"role": "user", "content": "hello"}]}


def test_what_is_set_to_nothing_is_said() -> None:
    fields = request(temperature=0, seed=0, logprobs=False, user="")
    assert {name: fields[name] for name in ("temperature", "seed", "logprobs", "user")} == {
        "temperature": 0.0,
        "seed": 0,
        "logprobs": False,
        "user": "",
    }


def test_lists_and_maps_are_plain() -> None:
    fields = request(stop=["a", "b"], logit_bias={"50256": -100}, metadata={"team": "x"})
    assert (fields["stop"], fields["logit_bias"], fields["metadata"]) == (["a", "b"], {"50256": -100}, {"team": "x"})


@pytest.mark.parametrize(
    "value", [5, 2**53, -3, 2.5, "text", True, None, [], [1, [2.5, None]], {"a": {"b": [{"c": "d"}]}}]
)
def test_extra_fields_stand_beside_the_others(value: Any) -> None:
    fields = request({"what": value})
    assert fields["what"] == value
    assert type(fields["what"]) is type(value)


def test_a_field_of_its_own_wins_over_the_same_name_in_extra() -> None:
    assert request({"temperature": 2}, temperature=0.5)["temperature"] == 0.5


def test_a_content_of_several_parts_is_an_extra_field_of_its_message() -> None:
    parts = [{"type": "text", "text": "look"}]
    message = ChatMessage(role="user")
    message.extra.update({"content": parts})
    assert to_json(message) == {"role": "user", "content": parts}


ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "created": 1700000000,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": None,
                "refusal": None,
                "annotations": [],
                "reasoning": "hm",
                "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            "finish_reason": "tool_calls",
            "logprobs": {
                "content": [
                    {
                        "token": "a",
                        "logprob": -0.5,
                        "bytes": [97],
                        "top_logprobs": [{"token": "b", "logprob": -1.5, "bytes": None}],
                    }
                ],
                "refusal": None,
            },
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "prompt_tokens_details": {}},
    "system_fingerprint": None,
    "service_tier": "default",
}


@pytest.fixture
def answer() -> ChatResponse:
    response = ChatResponse()
    fill(response, ANSWER)
    return response


def test_an_answer_is_typed_to_its_last_logprob(answer: ChatResponse) -> None:
    (choice,) = answer.choices
    (token,) = choice.logprobs.content
    assert (answer.id, answer.created, answer.usage.total_tokens) == ("chatcmpl-1", 1700000000, 5)
    assert (choice.message.tool_calls[0].function.name, choice.finish_reason) == ("f", "tool_calls")
    assert (list(token.bytes), token.top_logprobs[0].logprob) == ([97], -1.5)


def test_what_is_null_is_not_set(answer: ChatResponse) -> None:
    assert not answer.choices[0].message.HasField("content")
    assert not answer.HasField("system_fingerprint")


def test_an_empty_object_is_set() -> None:
    usage = Usage()
    fill(usage, {"prompt_tokens_details": {}})
    assert usage.HasField("prompt_tokens_details")


def test_an_engines_own_fields_are_extra_where_there_is_room_and_else_left_out(answer: ChatResponse) -> None:
    assert dict(answer.choices[0].message.extra) == {"reasoning": "hm"}
    usage = Usage()
    fill(usage, {"prompt_tokens": 1, "seconds": 5})
    assert to_json(usage) == {"prompt_tokens": 1}


def test_an_answers_message_can_be_sent_back_as_it_is(answer: ChatResponse) -> None:
    said = to_json(ChatRequest(messages=[MESSAGE, answer.choices[0].message]))["messages"][1]
    assert said == {name: value for name, value in ANSWER["choices"][0]["message"].items() if value}


def test_a_value_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(TypeError):
        fill(ChatResponse(), {"created": "yesterday"})
