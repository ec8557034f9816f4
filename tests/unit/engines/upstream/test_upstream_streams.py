"""Streams of other servers as they were reported to be: what leaves is always our own form."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.upstream import relayed
from engines.upstream.canonical import Chunks
from engines.upstream.sse import EventReader
from tests.published import mistakes
from tests.unit.engines.upstream.conftest import ASKED, Elsewhere, streamed
from tests.unit.engines.zoo import BROKEN, HELLO, LAST, STILLBORN, STOP, STREAMS, USAGE, chunk, events


@pytest.mark.parametrize("how", STREAMS)
async def test_a_stream_says_the_same_however_it_is_spelled(
    client: httpx.AsyncClient, elsewhere: Elsewhere, how: str
) -> None:
    elsewhere.body = STREAMS[how]
    *said, usage = await streamed(client)
    deltas = [each["choices"][0]["delta"] for each in said]
    assert deltas == [{"role": "assistant", "content": ""}, {"content": "Hel"}, {"content": "lo"}, {}]
    assert [each["choices"][0]["finish_reason"] for each in said] == [None, None, None, "stop"]
    assert {each["model"] for each in (*said, usage)} == {"m"}
    assert [mistakes("CreateChatCompletionStreamResponse", each) for each in (*said, usage)] == [set()] * 5
    assert len({(each["id"], each["created"], each["object"]) for each in (*said, usage)}) == 1
    assert (usage["choices"], usage["usage"]["prompt_tokens"], usage["usage"]["completion_tokens"]) == ([], 3, 2)


@pytest.mark.parametrize("how", BROKEN)
async def test_a_stream_that_fails_ends_with_an_error_event_without_the_servers_words(
    client: httpx.AsyncClient, elsewhere: Elsewhere, how: str
) -> None:
    elsewhere.body = BROKEN[how]
    *_, last = await streamed(client)
    assert last["error"]["code"] == "upstream_failed"
    assert "SECRET" not in json.dumps(last)


@pytest.mark.parametrize("how", STILLBORN)
async def test_a_stream_that_fails_before_it_begins_has_the_status_of_a_failure(
    client: httpx.AsyncClient, elsewhere: Elsewhere, how: str
) -> None:
    elsewhere.body = STILLBORN[how]
    answer = await client.post("/chat/completions", json={**ASKED, "stream": True})
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_failed")
    assert "SECRET" not in answer.text


async def test_of_a_usage_in_every_chunk_the_last_counts(client: httpx.AsyncClient, elsewhere: Elsewhere) -> None:
    counts = [{**USAGE, "completion_tokens": tokens} for tokens in (1, 50, 99)]
    chunks = [chunk({"content": "Hi"}, usage=counts[0]), chunk({}, "stop", usage=counts[1]), chunk(usage=counts[2])]
    elsewhere.body = events(*chunks, "[DONE]")
    assert (await streamed(client))[-1]["usage"]["completion_tokens"] == 99


@pytest.mark.parametrize(
    "usage", [{**USAGE, "prompt_tokens": "3"}, {**USAGE, "completion_tokens": -5}, {"prompt_tokens": 2**60}]
)
async def test_a_usage_that_is_no_count_is_none(
    client: httpx.AsyncClient, elsewhere: Elsewhere, usage: dict[str, Any]
) -> None:
    elsewhere.body = events(*HELLO, STOP, json.dumps({"choices": [], "usage": usage}), "[DONE]")
    assert all("usage" not in each for each in await streamed(client))


async def test_heartbeats_behind_the_end_do_not_keep_a_stream_open(
    client: httpx.AsyncClient, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relayed, "AFTER_FINISH_S", 0.2)
    elsewhere.body, elsewhere.goes_on = events(*HELLO, STOP), True
    assert (await streamed(client))[-1]["choices"][0]["finish_reason"] == "stop"


async def test_a_tool_call_has_its_index_always_and_its_name_once(
    client: httpx.AsyncClient, elsewhere: Elsewhere
) -> None:
    first = {"id": "call_1", "type": "function", "function": {"name": "get", "arguments": {"a": 1}}}
    again = {"id": "call_1", "function": {"name": "get", "arguments": ""}}
    ends = [chunk({"tool_calls": [first]}), chunk({"tool_calls": [again]}), chunk({}, "tool_calls")]
    elsewhere.body = events(*ends, LAST, "[DONE]")
    _, one, two, *_ = await streamed(client)
    assert one["choices"][0]["delta"]["tool_calls"] == [
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": "get", "arguments": '{"a":1}'}}
    ]
    assert two["choices"][0]["delta"]["tool_calls"] == [{"index": 0, "function": {"arguments": ""}}]


@pytest.mark.parametrize("index", [{}, {"index": 0}])
async def test_two_calls_stay_two_though_they_have_one_index_or_none(
    client: httpx.AsyncClient, elsewhere: Elsewhere, index: dict[str, int]
) -> None:
    calls = [{"id": f"call_{name}", "function": {"name": name, "arguments": "{"}, **index} for name in ("a", "b")]
    rest = [{"id": call["id"], "function": {"arguments": "}"}, **index} for call in calls]
    told = [chunk({"tool_calls": [call]}) for call in (*calls, *rest)]
    elsewhere.body = events(*told, chunk({}, "tool_calls"), LAST, "[DONE]")
    said = [each["choices"][0]["delta"] for each in (await streamed(client))[:-1]]
    parts = [call for delta in said for call in delta.get("tool_calls", ())]
    assert [(part["index"], part.get("id"), part["function"].get("name")) for part in parts] == [
        (0, "call_a", "a"),
        (1, "call_b", "b"),
        (0, None, None),
        (1, None, None),
    ]


async def test_what_is_no_stream_where_one_was_asked_for_is_a_failure(
    client: httpx.AsyncClient, elsewhere: Elsewhere
) -> None:
    elsewhere.kind, elsewhere.body = "application/json", b'{"choices": [{"index": 0, "message": {}}]}'
    answer = await client.post("/chat/completions", json={**ASKED, "stream": True})
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_failed")


def canonical(body: bytes, cuts: list[int]) -> bytes:
    chunks, reader, out = Chunks("m", True), EventReader(), b""
    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        out += chunks.feed(reader.feed(body[start:end]))
    return out + chunks.feed(reader.end()) + chunks.end()


Spelling = Callable[[Any], str]
spellings: st.SearchStrategy[Spelling] = st.sampled_from(
    [
        lambda each: json.dumps(each, ensure_ascii=True),
        lambda each: json.dumps(each, ensure_ascii=False, separators=(",", ":")),
        lambda each: json.dumps(each, indent=None, separators=(" , ", " : ")),
        lambda each: orjson.dumps(each, option=orjson.OPT_SORT_KEYS).decode(),
    ]
)


@given(st.data(), spellings, st.sampled_from(["\n\n", "\r\n\r\n", "\r\r"]), st.text(min_size=1, max_size=20))
def test_any_cut_and_any_spelling_are_the_same_bytes(
    data: st.DataObject, spelling: Spelling, end: str, said: str
) -> None:
    told = [json.loads(chunk({"content": said})), json.loads(STOP), json.loads(LAST)]
    plain = events(*(json.dumps(each) for each in told), "[DONE]")
    body = events(*map(spelling, told), "[DONE]", end=end)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    assert canonical(body, cuts) == canonical(plain, [])
