"""What a stream of completions must not be."""

import json
from typing import Any

import pytest

from doctor.form import mistakes

HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
COUNTS = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
DONE = "data: [DONE]\n\n"


def event(**fields: Any) -> str:
    return f"data: {json.dumps({**HEAD, **fields}, separators=(',', ':'))}\n\n"


def chunk(delta: Any, reason: Any = None, **fields: Any) -> str:
    return event(choices=[{"index": 0, "delta": delta, "finish_reason": reason, **fields}])


OPEN, WORD, STOP = chunk({"role": "assistant", "content": ""}), chunk({"content": "a b"}), chunk({}, "stop")
LAST = event(choices=[], usage=COUNTS)
ERROR = 'data: {"error":{"message":"No.","type":"server_error","param":null,"code":null}}\n\n'


def call(place: int, **fields: Any) -> str:
    return chunk({"tool_calls": [{"index": place, **fields}]})


FIRST = call(0, id="call_1", type="function", function={"name": "f", "arguments": ""})


@pytest.mark.parametrize(
    "said",
    [
        OPEN + WORD + STOP,
        OPEN + WORD + chunk({"content": "."}, "length"),
        OPEN + FIRST + call(0, function={"arguments": "{}"}) + chunk({}, "tool_calls"),
        OPEN + event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}], usage=None),
    ],
)
def test_a_stream_in_the_form_has_no_mistakes(said: str) -> None:
    assert mistakes((said + DONE).encode()) == []
    assert mistakes((said + LAST + DONE).encode(), has_usage=True) == []


def test_a_stream_that_fails_may_end_anywhere() -> None:
    assert mistakes((OPEN + WORD + ERROR + DONE).encode(), has_usage=True) == []


def test_a_text_has_text() -> None:
    text = event(object="text_completion", choices=[{"index": 0, "text": "a", "finish_reason": "stop"}])
    assert mistakes((text + DONE).encode(), is_chat=False) == []
    assert mistakes((text.replace('"text":"a"', '"text":null') + DONE).encode(), is_chat=False) != []


def test_comments_are_for_clients_alone() -> None:
    body = (OPEN + ": keep-alive\n\n" + STOP + DONE).encode()
    assert mistakes(body) != []
    assert mistakes(body, comments=True) == []


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("", "no choice"),
        (DONE, "no choice"),
        (OPEN + STOP, "[DONE] is not the last"),
        (OPEN + STOP + DONE.strip(), "does not end"),
        (OPEN + STOP + DONE + OPEN, "behind [DONE]"),
        (OPEN + WORD + DONE, "no end"),
        (OPEN + STOP + WORD + DONE, "after its end"),
        (OPEN.replace("data: ", "data:") + STOP + DONE, "not one line"),
        ("id: 1\n" + OPEN + STOP + DONE, "not one line"),
        (OPEN.replace("\n\n", "\r\n\n") + STOP + DONE, "not one line"),
        (OPEN.replace(":0", ": 0") + STOP + DONE, "blanks"),
        ("data: {nonsense}\n\n" + OPEN + STOP + DONE, "no JSON"),
        (OPEN.replace('"id":"c",', "") + STOP + DONE, "id is not the first key"),
        (OPEN + STOP.replace('"c"', '"d"') + DONE, "not those of the first"),
        (OPEN + event(choices=None) + STOP + DONE, "no list of objects"),
        (OPEN + event(choices=[]) + STOP + DONE, "no usage of counts"),
        (OPEN + event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}], usage=COUNTS) + DONE, "beside"),
        (OPEN + LAST + STOP + DONE, "behind the usage"),
        (OPEN + STOP + LAST + LAST + DONE, "2 usages"),
        (OPEN + STOP + event(choices=[], usage={**COUNTS, "total_tokens": 9}) + DONE, "not the sum"),
        (OPEN + STOP + event(choices=[], usage={**COUNTS, "prompt_tokens": -1}) + DONE, "no usage of counts"),
        (OPEN + chunk({}, "eos") + DONE, "finish_reason"),
        (OPEN + chunk({}, "") + STOP + DONE, "finish_reason"),
        (OPEN + chunk(None, "stop") + DONE, "delta"),
        (WORD + STOP + DONE, "role"),
        (OPEN + OPEN + STOP + DONE, "role"),
        (OPEN + chunk({"content": []}) + STOP + DONE, "content"),
        (OPEN + chunk({}, "stop", index=None) + DONE, "no index"),
        (OPEN + FIRST + FIRST + STOP + DONE, "first part alone"),
        (OPEN + call(1, id="x", function={"name": "f"}) + STOP + DONE, "follow each other"),
        (OPEN + call(0, id="x", function={"name": "f", "arguments": {}}) + STOP + DONE, "arguments"),
        (OPEN + ERROR + STOP + DONE, "behind an error"),
        (OPEN + event(error={}) + DONE, "object alone"),
        (OPEN + 'data: {"error":{"message":"No."}}\n\n' + DONE, "message, type"),
    ],
)
def test_what_is_outside_the_form_is_named(body: str, what: str) -> None:
    assert any(what in found for found in mistakes(body.encode(), has_usage="usage" in body)), mistakes(body.encode())
