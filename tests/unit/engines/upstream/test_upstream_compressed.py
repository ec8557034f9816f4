"""Another server's answers that come compressed, whole and as they are made."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Any, Protocol

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from backports import zstd
from starlette.types import Message

from engines.base import EngineSettings
from engines.upstream import UpstreamEngine
from tests.unit.engines.zoo import HELLO, LAST, STOP, USAGE, events

ANSWER = {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}], "usage": USAGE}


class Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self, mode: int, /) -> bytes: ...


def gzip() -> tuple[Compressor, int, int]:
    return zlib.compressobj(wbits=31), zlib.Z_SYNC_FLUSH, zlib.Z_FINISH


def of_zstd() -> tuple[Compressor, int, int]:
    return zstd.ZstdCompressor(), zstd.ZstdCompressor.FLUSH_BLOCK, zstd.ZstdCompressor.FLUSH_FRAME


ENCODINGS = {"gzip": gzip, "zstd": of_zstd}


class Elsewhere:
    """A server that compresses whatever it says, and goes on with a stream when it is told to."""

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding
        self.goes_on = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        assert self.encoding in request.headers["accept-encoding"]
        streams = (await request.json()).get("stream")
        kind = "text/event-stream" if streams else "application/json"
        response = web.StreamResponse(headers={"content-type": kind, "content-encoding": self.encoding})
        await response.prepare(request)
        compressor, block, end = ENCODINGS[self.encoding]()
        if streams:
            await response.write(compressor.compress(events(HELLO[0])) + compressor.flush(block))
            await self.goes_on.wait()
            await response.write(compressor.compress(events(HELLO[1], STOP, LAST, "[DONE]")) + compressor.flush(end))
        else:
            await response.write(compressor.compress(orjson.dumps(ANSWER)) + compressor.flush(end))
        return response


@pytest.fixture(params=ENCODINGS)
def elsewhere(request: pytest.FixtureRequest) -> Elsewhere:
    return Elsewhere(request.param)


@pytest.fixture
async def engine(elsewhere: Elsewhere) -> AsyncIterator[UpstreamEngine]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", elsewhere.answer)
    async with TestServer(app) as server:
        engine = UpstreamEngine(EngineSettings(model="m", engine_args={"base_url": str(server.make_url("/v1"))}))
        yield engine
        await engine.stop()


async def asked(engine: UpstreamEngine, body: dict[str, Any], elsewhere: Elsewhere) -> bytes:
    """Return the engine's answer; the server goes on as soon as something of it has come."""
    messages: list[Message] = [{"type": "http.request", "body": orjson.dumps(body), "more_body": False}]
    told = b""

    async def receive() -> Message:
        return messages.pop() if messages else await asyncio.Future()

    async def send(message: Message) -> None:
        nonlocal told
        told += message.get("body", b"")
        if told:
            elsewhere.goes_on.set()

    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "query_string": b"", "headers": []}
    await asyncio.wait_for((await engine.start())(scope, receive, send), 20)
    return told


async def test_a_whole_answer(engine: UpstreamEngine, elsewhere: Elsewhere) -> None:
    told = orjson.loads(await asked(engine, {}, elsewhere))
    assert told["choices"][0]["message"]["content"] == "Hello"


async def test_a_stream_of_which_each_event_leaves_when_it_comes(engine: UpstreamEngine, elsewhere: Elsewhere) -> None:
    told = await asked(engine, {"stream": True}, elsewhere)
    assert told.count(b'"content":"Hel"') == told.count(b'"content":"lo"') == 1
    assert told.endswith(b"data: [DONE]\n\n")
