"""How answers are held against OpenAI's published schema."""

from typing import Any

import pytest

from doctor.schema import examine

MESSAGE = {"role": "assistant", "content": "Hi", "refusal": None}
CHOICE = {"index": 0, "message": MESSAGE, "logprobs": None, "finish_reason": "stop"}
CHAT: dict[str, Any] = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [CHOICE]}
TEXT = {"id": "c", "object": "text_completion", "created": 1, "model": "m"}


def with_choice(**fields: Any) -> dict[str, Any]:
    return {**CHAT, "choices": [{**CHOICE, **fields}]}


def test_an_answer_of_the_schema_has_nothing_wrong() -> None:
    assert examine("chat.completion", CHAT) == (set(), set())


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (with_choice(message={"role": "assistant", "content": "Hi"}), "choices.*.message.refusal is missing"),
        (with_choice(finish_reason="abort"), "choices.*.finish_reason: Input should be 'stop'"),
        (with_choice(index="0"), "choices.*.index: Input should be a valid integer"),
        ({**CHAT, "created": "now"}, "created: Input should be a valid integer"),
        ({**CHAT, "object": "chat"}, "object: Input should be 'chat.completion'"),
    ],
)
def test_what_breaks_the_schema_is_told_by_its_path(answer: dict[str, Any], wrong: str) -> None:
    found, _ = examine("chat.completion", answer)
    assert [what.startswith(wrong) for what in found] == [True]


def test_fields_beyond_the_schema_are_told_apart() -> None:
    wrong, extra = examine("chat.completion", {**with_choice(stop_reason=None), "metrics": {}})
    assert wrong == set()
    assert extra == {"choices.*.stop_reason", "metrics"}


def test_a_streamed_completion_has_no_reason_before_its_end() -> None:
    choice = {"index": 0, "text": "a", "logprobs": None, "finish_reason": None}
    assert examine("text_completion.chunk", {**TEXT, "choices": [choice]}) == (set(), set())
    wrong, _ = examine("text_completion", {**TEXT, "choices": [choice]})
    assert len(wrong) == 1


def test_events_of_a_response_are_known_by_their_type() -> None:
    delta = {"type": "response.output_text.delta", "delta": "a", "item_id": "i", "output_index": 0, "content_index": 0}
    assert examine("response.event", {**delta, "logprobs": [], "sequence_number": 1}) == (set(), set())
    wrong, _ = examine("response.event", {**delta, "logprobs": []})
    assert [what.partition(":")[0] for what in wrong] == ["sequence_number"]
    assert examine("response.event", {"type": "response.dreamt"})[0] == {"unknown event 'response.dreamt'"}
