"""An engine whose streams are outside the form, as an operator's own may be: parsed, and told all the same."""

import asyncio
import itertools
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.usage import Usage
from gateway.answers.answer import EngineLost
from gateway.answers.choices import ChatStream, ChoicesStream
from gateway.answers.form import named, parsed
from gateway.answers.messages import MessageStream
from gateway.answers.relay import EVENT_LIMIT, Stream
from tests.unit.engines.zoo import BROKEN, HELLO, LAST, MESSAGE, STILLBORN, STOP, STREAMS, USAGE, events
from tests.unit.gateway.answers.test_relay import relayed

SPELLED = {
    how: body
    for how, body in STREAMS.items()
    if how not in {"with CR alone", "without [DONE]", "without prompt tokens, which the total tells"}
}
FAILING = {
    how: body
    for how, body in {**BROKEN, **STILLBORN}.items()
    if how not in {"[DONE] at once", "a usage without an answer", "no resources"}
}
"""The zoo without what only an upstream's engine understands."""


async def told(stream: Stream, body: bytes) -> list[dict[str, Any]]:
    """Return the chunks of a stream that ends well."""
    sent = b"".join(await relayed(stream, [body]))
    *blocks, done, rest = sent.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    return [orjson.loads(block.partition(b"data: ")[2]) for block in blocks]


@pytest.mark.parametrize("how", SPELLED)
async def test_a_chat_says_the_same_however_it_is_spelled(how: str) -> None:
    stream = ChatStream(include_usage=True)
    *said, usage = await told(stream, SPELLED[how])
    choices = [choice for each in said for choice in each["choices"]]
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == "Hello"
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]][:1] == ["stop"]
    assert (stream.usage, stream.finish_reason, stream.error) == (Usage(3, 2), "stop", None)
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 2)
    assert not any(each.get("usage") for each in said)


@pytest.mark.parametrize("how", FAILING)
async def test_what_fails_ends_with_an_error_and_without_the_engines_words(how: str) -> None:
    stream = ChatStream(include_usage=True)
    *_, last = await told(stream, FAILING[how])
    assert "error" in last
    assert "SECRET" not in json.dumps(last)


async def test_an_error_beside_choices_is_an_error() -> None:
    stream = ChatStream()
    body = events(HELLO[0]) + b'data: {"id":"x","choices":[{"index":0,"delta":{}}],"error":{"message":"sk"}}\n\n'
    assert "error" in (await told(stream, body))[-1]
    assert stream.error is not None


async def test_an_error_inside_a_choice_is_none() -> None:
    stream = ChatStream()
    body = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"a"},"filter":{"error":{}}}]}\n\n'
    (said, _) = await told(stream, body + events(STOP, "[DONE]"))
    assert said["choices"][0]["delta"] == {"content": "a"}
    assert stream.error is None


async def test_a_usage_beside_choices_counts_and_is_told_once_at_the_end() -> None:
    stream = ChatStream(include_usage=True)
    both = orjson.dumps({"id": "x", "choices": [{"index": 0, "delta": {"content": "a"}}], "usage": USAGE})
    said, _, usage = await told(stream, b"data: " + both + b"\n\n" + events(STOP, "[DONE]"))
    assert "usage" not in said
    assert (stream.usage, usage["choices"]) == (Usage(3, 2), [])


async def test_a_text_has_its_text_where_the_engine_leaves_it_out() -> None:
    stream = ChoicesStream()
    body = events(json.dumps({"choices": [{"text": "a"}]}), json.dumps({"choices": [{"finish_reason": "stop"}]}))
    said, end = await told(stream, body + events("[DONE]"))
    assert (said["choices"][0]["text"], end["choices"][0]["text"], stream.finish_reason) == ("a", "", "stop")


@given(st.data(), st.sampled_from([", ", ","]), st.sampled_from([": ", ":"]), st.sampled_from(["\n\n", "\r\n\r\n"]))
def test_any_cut_and_any_spelling_are_the_same_answer(data: st.DataObject, comma: str, colon: str, end: str) -> None:
    texts = [data.draw(st.text(max_size=10)) for _ in range(2)]
    parts = [{"index": 0, "delta": {"content": text}, "finish_reason": None} for text in texts]
    told = [{"object": "x", "choices": [part]} for part in parts]
    spelled = [json.dumps(each, separators=(comma, colon)) for each in (*told, json.loads(STOP), json.loads(LAST))]
    body = events(*spelled, "[DONE]", end=end)
    cuts = sorted({0, len(body), *data.draw(st.lists(st.integers(0, len(body)), max_size=8))})
    stream = ChatStream()
    sent = asyncio.run(relayed(stream, [body[start:stop] for start, stop in itertools.pairwise(cuts)]))
    *blocks, _, _ = b"".join(sent).split(b"\n\n")
    choices = [choice for block in blocks for choice in orjson.loads(block[6:])["choices"]]
    assert [choice["delta"].get("content") for choice in choices] == [*texts, None]
    assert (stream.usage, stream.finish_reason, stream.error) == (Usage(3, 2), "stop", None)


@pytest.mark.parametrize("cut", range(1, 4))
async def test_a_line_end_may_be_cut(cut: int) -> None:
    body = events(*HELLO, STOP, LAST, "[DONE]", end="\r\n\r\n")
    middle = body.index(b"\r\n\r\n") + cut
    stream = ChatStream()
    sent = b"".join(await relayed(stream, [body[:middle], body[middle:]]))
    assert (sent.count(b"data: "), stream.error) == (4, None)


async def test_an_event_without_an_end_is_a_failure() -> None:
    stream = ChatStream()
    await relayed(stream, [b"data: " + b"a" * 2**20] + [b"a" * 2**20] * (EVENT_LIMIT // 2**20))
    assert stream.error is not None


@pytest.mark.parametrize("part", [b"event: message_delta\ndata: {}\n\n", b'event: message_delta\ndata: {"usage"\n\n'])
async def test_a_named_event_without_its_fields_raises_nothing(part: bytes) -> None:
    stream = MessageStream()
    sent = b"".join(await relayed(stream, [MESSAGE[0] + part + MESSAGE[-1]]))
    assert b"message_stop" in sent or stream.error is not None


async def test_named_events_are_known_by_their_type_where_they_have_no_name() -> None:
    stream = MessageStream()
    unnamed = b"".join(b"data:" + event.partition(b"data: ")[2] for event in MESSAGE)
    sent = b"".join(await relayed(stream, [unnamed]))
    assert sent.startswith(b"event: message_start\ndata: {")
    assert (stream.finish_reason, stream.deltas, stream.done, stream.error) == ("end_turn", 1, True, None)


def test_comments_are_no_events() -> None:
    assert named(b": ping") == named(b"id: 7") == b""


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"<html>", b"NaN", b'{"a"'])
def test_what_is_no_object_is_no_answer(data: bytes) -> None:
    with pytest.raises(EngineLost):
        parsed(data)
