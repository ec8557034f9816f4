"""What an upstream engine counts as running, and lets go."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from starlette.types import ASGIApp, Message

from engines.base import EngineSettings
from engines.upstream import UpstreamEngine

SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/v1/chat/completions",
    "query_string": b"",
    "headers": [(b"content-type", b"application/json")],
}


class Elsewhere:
    """A server that sends a first chunk, if it is to, and then waits; it knows whether its client has left."""

    def __init__(self) -> None:
        self.begins = False
        self.asked, self.left = asyncio.Event(), asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        if self.begins:
            await response.prepare(request)
            await response.write(b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}\n\n')
        self.asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()
        return response


@pytest.fixture
def elsewhere() -> Elsewhere:
    return Elsewhere()


@pytest.fixture
async def engine(elsewhere: Elsewhere) -> AsyncIterator[UpstreamEngine]:
    app = web.Application(handler_args={"handler_cancellation": True})
    app.router.add_post("/v1/chat/completions", elsewhere.answer)
    async with TestServer(app) as server:
        url = str(server.make_url("/v1"))
        engine = UpstreamEngine(EngineSettings(model="m", engine_args={"base_url": url}))
        yield engine
        await engine.stop()


async def ask(app: ASGIApp, begun: asyncio.Event) -> None:
    async def receive() -> Message:
        if not sent:
            sent.append(True)
            return {"type": "http.request", "body": b'{"stream": true}', "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        if message.get("body"):
            begun.set()

    sent: list[bool] = []
    await app(SCOPE, receive, send)


@pytest.mark.parametrize("begins", [False, True])
async def test_who_leaves_is_no_longer_counted_and_ends_the_work_elsewhere(
    engine: UpstreamEngine, elsewhere: Elsewhere, begins: bool
) -> None:
    elsewhere.begins, begun = begins, asyncio.Event()
    asking = asyncio.create_task(ask(await engine.start(), begun))
    await (begun if begins else elsewhere.asked).wait()
    assert engine.load().running == 1
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert engine.load().running == 0
    await asyncio.wait_for(elsewhere.left.wait(), 10)
