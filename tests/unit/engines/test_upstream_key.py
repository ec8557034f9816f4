"""The key of another server: how it is read, and what is told of one that does not hold."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from engines.base import EngineSettings, EngineStartError
from engines.upstream import UpstreamEngine


class Elsewhere:
    """A server that lists its models, or refuses to."""

    def __init__(self) -> None:
        self.models_status = 200
        self.seen: list[web.Request] = []

    async def models(self, request: web.Request) -> web.Response:
        self.seen.append(request)
        return web.json_response({}, status=self.models_status)


@pytest.fixture
def elsewhere() -> Elsewhere:
    return Elsewhere()


@pytest.fixture
async def made(elsewhere: Elsewhere) -> AsyncIterator[UpstreamEngine]:
    app = web.Application()
    app.router.add_get("/v1/models", elsewhere.models)
    async with TestServer(app) as server:
        yield UpstreamEngine(EngineSettings(model="m", engine_args={"base_url": str(server.make_url("/v1"))}))


async def test_a_key_that_the_server_refuses_is_told_at_the_start(made: UpstreamEngine, elsewhere: Elsewhere) -> None:
    elsewhere.models_status = 401
    with pytest.raises(EngineStartError, match="refuses"):
        await made.start()


@pytest.mark.parametrize(("given", "sent"), [("sk-1\n", "Bearer sk-1"), ("  sk-1 ", "Bearer sk-1")])
async def test_white_space_round_a_key_is_no_part_of_it(
    elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch, given: str, sent: str
) -> None:
    monkeypatch.setenv("KEY_ELSEWHERE", given)
    app = web.Application()
    app.router.add_get("/v1/models", elsewhere.models)
    async with TestServer(app) as server:
        args = {"base_url": str(server.make_url("/v1")), "api_key_env": "KEY_ELSEWHERE"}
        made = UpstreamEngine(EngineSettings(model="m", engine_args=args))
        await made.start()
        await made.stop()
    assert elsewhere.seen[0].headers["authorization"] == sent


async def test_a_key_with_control_characters_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_ELSEWHERE", "sk-1\x07x")
    args = {"base_url": "http://127.0.0.1:1/v1", "api_key_env": "KEY_ELSEWHERE"}
    with pytest.raises(EngineStartError, match="KEY_ELSEWHERE"):
        await UpstreamEngine(EngineSettings(model="m", engine_args=args)).start()
