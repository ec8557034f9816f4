"""Servers on this machine that answer as a test tells them to."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.scripted import Scripted

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Handler], Awaitable[str]]]:
    """Return a function that serves a handler for every path, and returns its URL."""
    servers: list[TestServer] = []

    async def served(handler: Handler) -> str:
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", handler)
        servers.append(TestServer(app))
        await servers[-1].start_server()
        return str(servers[-1].make_url("/v1"))

    yield served
    for server in servers:
        await server.close()


@pytest.fixture
async def scripted(serve: Callable[[Handler], Awaitable[str]]) -> Scripted:
    script = Scripted()
    script.url = await serve(script.answer)
    return script
