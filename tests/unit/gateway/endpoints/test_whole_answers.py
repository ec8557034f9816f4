"""What a whole answer comes to without its engine's count: its texts, wherever a form has them."""

from typing import Any

import pytest

from auth.keys import Key
from gateway.endpoints.call import Form, is_text
from gateway.endpoints.chat import ChatForm
from gateway.endpoints.completions import CompletionForm
from gateway.endpoints.messages import MessagesForm
from gateway.endpoints.pooled import POOLED
from gateway.endpoints.responses.form import ResponseForm
from gateway.endpoints.responses.turn import Turn, begun
from gateway.endpoints.transcriptions import TranscriptionForm

LETTERS = "x" * 40
TOKENS = 10

KEY = Key("key_1", "test", "default", "sk-", bytes(32), ("inference",), ("*",), (), 0.0)


def message(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", **fields}, "finish_reason": "stop"}]}


def call(arguments: str) -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": arguments}}


def response(item: dict[str, Any]) -> dict[str, Any]:
    return {"status": "completed", "output": [item]}


def response_form() -> ResponseForm:
    return ResponseForm(Turn(begun({"model": "m"}), KEY, [], keep_s=60))


@pytest.mark.parametrize(
    ("form", "answer"),
    [
        (ChatForm(), message(content=LETTERS)),
        (CompletionForm(), {"choices": [{"text": LETTERS[:20]}, {"text": LETTERS[20:]}]}),
        (MessagesForm(), {"content": [{"type": "text", "text": LETTERS}]}),
        (MessagesForm(), {"content": [{"type": "thinking", "thinking": LETTERS}]}),
        (response_form(), response({"type": "message", "content": [{"type": "output_text", "text": LETTERS}]})),
        (response_form(), response({"type": "function_call", "name": LETTERS[:1], "arguments": LETTERS[1:]})),
        (TranscriptionForm(), {"text": LETTERS}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_four_bytes_are_a_token(form: Form, answer: dict[str, Any]) -> None:
    read = form.whole(answer)
    assert (read.usage, read.tokens) == (None, TOKENS)


@pytest.mark.parametrize(
    ("form", "answer"),
    [
        (ChatForm(), message(content=None, tool_calls=[call(LETTERS)])),
        (ChatForm(), message(content=None, reasoning=LETTERS)),
        (MessagesForm(), {"content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": LETTERS}}]}),
    ],
    ids=["a call", "a thought", "a call of a message"],
)
def test_calls_and_thoughts_are_counted(form: Form, answer: dict[str, Any]) -> None:
    assert TOKENS < form.whole(answer).tokens < 5 * TOKENS


def test_a_duration_is_no_tokens() -> None:
    read = TranscriptionForm().whole({"text": LETTERS, "usage": {"type": "duration", "seconds": 3}})
    assert read.usage is not None
    assert (read.usage.prompt_tokens, read.usage.completion_tokens, read.tokens) == (0, 0, 0)


def test_what_generates_nothing_has_no_completion() -> None:
    assert POOLED.whole({"data": [], "usage": "many"}).tokens == 0


@pytest.mark.parametrize("content", [None, "a text", [], [{"type": "text", "text": "a part"}]], ids=repr)
def test_content_of_texts_is_text(content: Any) -> None:
    assert is_text(content)


@pytest.mark.parametrize(
    "part", ["x", {"type": "input_audio", "input_audio": {}}, {"type": "image", "text": 5}], ids=repr
)
def test_content_with_any_other_part_is_not(part: Any) -> None:
    assert not is_text([{"type": "text", "text": "a part"}, part])
