"""An alias whose first model is another server's: a failure there is answered by the next, unless it comes too late."""

from collections.abc import AsyncIterator, Awaitable, Callable

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from engines.base import EngineSettings
from engines.upstream import UpstreamEngine
from tests.unit.engines.zoo import BROKEN, STILLBORN, WRONG
from tests.unit.gateway.request.conftest import House, Opened

Sends = Callable[[str, bytes], Awaitable[House]]


@pytest.fixture
async def sends(open_house: Opened) -> AsyncIterator[Sends]:
    """Return a function that opens a gateway in front of a server that always sends the same."""
    said = ["", b""]

    async def answer(request: web.Request) -> web.Response:
        return web.Response(headers={"content-type": str(said[0])}, body=said[1])

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    async with TestServer(app) as server:
        url = str(server.make_url("/v1"))
        engine = UpstreamEngine(EngineSettings(model="elsewhere", engine_args={"base_url": url}))

        async def opened(kind: str, body: bytes) -> House:
            said[:] = kind, body
            house = await open_house()
            house.engines.apps["elsewhere"] = await engine.start()
            return house

        yield opened
        await engine.stop()


@pytest.mark.parametrize("how", STILLBORN)
async def test_a_stream_that_fails_before_it_begins_is_answered_by_the_next(sends: Sends, how: str) -> None:
    house = await sends("text/event-stream", STILLBORN[how])
    answered = await house.ask("backed", stream=True)
    assert (answered.status_code, house.engines.asked) == (200, ["elsewhere", "free"])
    assert '"content":"yes"' in answered.text
    [row] = await house.rows()
    assert (row.model, row.status, row.error_code, row.finish_reason) == ("free", 200, None, "stop")


@pytest.mark.parametrize("how", WRONG)
async def test_a_whole_answer_that_is_none_is_answered_by_the_next(sends: Sends, how: str) -> None:
    _, kind, body = WRONG[how]
    house = await sends(kind, body)
    answered = await house.ask("backed")
    assert (answered.status_code, answered.json()["choices"][0]["message"]["content"]) == (200, "yes")
    [row] = await house.rows()
    assert (row.model, row.status, row.error_code) == ("free", 200, None)


@pytest.mark.parametrize("how", BROKEN)
async def test_a_stream_that_fails_later_ends_with_an_error(sends: Sends, how: str) -> None:
    house = await sends("text/event-stream", BROKEN[how])
    answered = await house.ask("backed", stream=True)
    *_, last, done, _ = answered.text.split("\n\n")
    assert (answered.status_code, done, house.engines.asked) == (200, "data: [DONE]", ["elsewhere"])
    assert orjson.loads(last.removeprefix("data: "))["error"]["code"] == "internal_error"
    assert "SECRET" not in answered.text
    [row] = await house.rows()
    assert (row.model, row.status, row.error_code) == ("elsewhere", 200, "internal_error")
