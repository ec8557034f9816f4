"""Another server, which says what a test has it say, behind the real engine."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from doctor.form import mistakes
from engines.base import EngineSettings
from engines.upstream import UpstreamEngine

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


async def streamed(client: httpx.AsyncClient, path: str = "/chat/completions", **fields: Any) -> list[Any]:
    """Return the chunks of a stream, which is in the form that engines owe."""
    answer = await client.post(path, json={**ASKED, "stream": True, **fields})
    assert answer.status_code == 200
    has_usage = '"usage":{' in answer.text
    assert mistakes(answer.content, is_chat=path == "/chat/completions", has_usage=has_usage) == []
    *blocks, done, rest = answer.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(block.removeprefix("data: ")) for block in blocks]
