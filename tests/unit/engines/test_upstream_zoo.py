"""Other servers as they were reported to be, each behind the real engine: what leaves is always our own form."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from engines.base import EngineSettings
from engines.upstream import UpstreamEngine, relayed
from engines.upstream.canonical import Chunks
from engines.upstream.sse import EventReader
from tests.published import mistakes
from tests.unit.engines.zoo import (
    BROKEN,
    HELLO,
    LAST,
    MESSAGE,
    RESPONSE,
    STILLBORN,
    STOP,
    STREAMS,
    USAGE,
    WRONG,
    chunk,
    events,
)

ASKED = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


class Elsewhere:
    """Another server."""

    def __init__(self) -> None:
        self.status, self.kind, self.body = 200, "text/event-stream", b""
        self.headers: dict[str, str] = {}
        self.models_status = 200
        self.seen: list[web.Request] = []
        self.goes_on = False
        self.parts: list[bytes] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        response = web.StreamResponse(status=self.status, headers={"content-type": self.kind, **self.headers})
        await response.prepare(request)
        for part in self.parts or [self.body]:
            await response.write(part)
            await _pause()
        while self.goes_on:
            await response.write(b": heartbeat\n\n")
            await _pause()
        return response

    async def models(self, request: web.Request) -> web.Response:
        self.seen.append(request)
        return web.json_response({}, status=self.models_status)


async def _pause() -> None:
    import asyncio

    await asyncio.sleep(0.02)


@pytest.fixture
async def elsewhere() -> AsyncIterator[Elsewhere]:
    yield Elsewhere()


@pytest.fixture
async def made(elsewhere: Elsewhere) -> AsyncIterator[UpstreamEngine]:
    app = web.Application(handler_args={"handler_cancellation": True})
    app.router.add_get("/v1/models", elsewhere.models)
    app.router.add_post("/v1/{path:.*}", elsewhere.answer)
    async with TestServer(app) as server:
        made = UpstreamEngine(EngineSettings(model="m", engine_args={"base_url": str(server.make_url("/v1"))}))
        yield made
        await made.stop()


@pytest.fixture
async def client(made: UpstreamEngine) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=await made.start())
    async with httpx.AsyncClient(transport=transport, base_url="http://engine/v1", timeout=20) as client:
        yield client


async def streamed(client: httpx.AsyncClient, **fields: Any) -> list[Any]:
    answer = await client.post("/chat/completions", json={**ASKED, "stream": True, **fields})
    assert answer.status_code == 200
    *blocks, done, rest = answer.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


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


async def test_an_error_that_is_said_to_be_an_object_keeps_its_words_to_itself(
    client: httpx.AsyncClient, elsewhere: Elsewhere
) -> None:
    elsewhere.kind, elsewhere.body = "application/json", b'{"object": "error", "message": "sk-SECRET"}'
    answer = await client.post("/embeddings", json={"model": "m", "input": "a"})
    assert (answer.status_code, "SECRET" in answer.text) == (502, False)


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


async def test_a_stream_of_named_events_that_fails_ends_with_a_named_error(
    client: httpx.AsyncClient, elsewhere: Elsewhere
) -> None:
    elsewhere.body = MESSAGE[0] + b"data: <html>sk-SECRET\n\n"
    answer = await client.post("/messages", json={**ASKED, "stream": True})
    assert answer.text.split("\n\n")[1].startswith("event: error\ndata: ")
    assert "SECRET" not in answer.text


@pytest.mark.parametrize(("path", "told"), [("/messages", MESSAGE), ("/responses", RESPONSE)])
async def test_named_events_tell_our_name_of_the_model_and_nothing_behind_the_last(
    client: httpx.AsyncClient, elsewhere: Elsewhere, path: str, told: list[bytes]
) -> None:
    elsewhere.body = b': hello\n\nevent: ping\ndata: {"type": "ping"}\n\n' + b"".join(told) + b"data: [DONE]\n\n"
    answer = await client.post(path, json={**ASKED, "stream": True})
    *blocks, rest = answer.text.split("\n\n")
    named = [block.removeprefix("event: ").partition("\ndata: ") for block in blocks]
    assert (answer.status_code, len(named), rest) == (200, len(told), "")
    assert all(json.loads(data)["type"] == name for name, _, data in named)
    assert "theirs" not in answer.text


@pytest.mark.parametrize("path", ["/messages", "/responses"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>sk-SECRET</html>",
        b'event: error\ndata: {"message": "sk-SECRET"}\n\n',
        b'data: {"type": "response.failed", "response": {"error": {"message": "sk-SECRET"}}}\n\n',
        b'data: {"type": "ping"}\n\ndata: {"error": {"message": "sk-SECRET"}}\n\n',
    ],
)
async def test_named_events_that_fail_before_they_begin_have_the_status_of_a_failure(
    client: httpx.AsyncClient, elsewhere: Elsewhere, path: str, body: bytes
) -> None:
    elsewhere.body = body
    answer = await client.post(path, json={**ASKED, "stream": True})
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_failed")
    assert "SECRET" not in answer.text


@pytest.mark.parametrize(("path", "told"), [("/messages", MESSAGE), ("/responses", RESPONSE)])
async def test_named_events_that_end_without_their_last_are_a_failure(
    client: httpx.AsyncClient, elsewhere: Elsewhere, path: str, told: list[bytes]
) -> None:
    elsewhere.body = b"".join(told[:-1])
    answer = await client.post(path, json={**ASKED, "stream": True})
    assert answer.text.split("\n\n")[-2].startswith("event: error\ndata: ")


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


@pytest.mark.parametrize("status", [301, 401, 402, 403, 404])
async def test_a_provider_that_refuses_us_is_our_own_misconfiguration(
    client: httpx.AsyncClient, elsewhere: Elsewhere, status: int
) -> None:
    elsewhere.status, elsewhere.body = status, b'{"error": {"message": "key sk-SECRET of org-7"}}'
    answer = await client.post("/chat/completions", json=ASKED)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_misconfigured")
    assert "SECRET" not in answer.text


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("body", [b"<html>busy</html>", b'{"error": {"message": "busy"}}'])
async def test_how_long_to_wait_is_handed_on(
    client: httpx.AsyncClient, elsewhere: Elsewhere, status: int, body: bytes
) -> None:
    elsewhere.status, elsewhere.body, elsewhere.headers = status, body, {"retry-after": "7"}
    answer = await client.post("/chat/completions", json=ASKED)
    assert (answer.status_code, answer.headers["retry-after"]) == (status, "7")


async def test_a_cookie_never_goes_along_with_another_request(client: httpx.AsyncClient, elsewhere: Elsewhere) -> None:
    elsewhere.body, elsewhere.headers = events(*HELLO, STOP, LAST, "[DONE]"), {"set-cookie": "session=of-one-key"}
    await streamed(client)
    await streamed(client)
    assert "cookie" not in elsewhere.seen[-1].headers


async def test_a_redirect_within_the_server_is_followed_and_no_other(
    client: httpx.AsyncClient, elsewhere: Elsewhere
) -> None:
    elsewhere.status, elsewhere.headers = 307, {"location": "https://elsewhere.invalid/v1/chat/completions"}
    answer = await client.post("/chat/completions", json=ASKED)
    assert answer.json()["error"]["code"] == "upstream_misconfigured"
    assert len([each for each in elsewhere.seen if each.method == "POST"]) == 1


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
