"""Another server, which answers in the way that the prompt names: one of the zoo's."""

import asyncio
import contextlib
import re
import threading
from collections.abc import Iterator

from aiohttp import web

from tests.unit.engines.zoo import BROKEN, STILLBORN, STREAMS, USAGE, WRONG

_EVENTS = "text/event-stream"
WAYS = {
    **{f"stream {name}": (_EVENTS, body) for name, body in STREAMS.items()},
    **{f"broken by {name}": (_EVENTS, body) for name, body in BROKEN.items()},
    **{f"stillborn by {name}": (_EVENTS, body) for name, body in STILLBORN.items()},
    **{f"wrong by {name}": (kind, body) for name, (_, kind, body) in WRONG.items()},
}
"""What a prompt may ask for: how it answers, with status 200."""

_DELTA = re.compile(rb'"delta": \{[^{}]*?"content": ("[^"]*")\}')
_NO_DELTA = re.compile(rb'"delta": (\{\}|null)')


def text_chunks(chat: bytes) -> bytes:
    """Return a stream of chat chunks as one of text completions."""
    return _NO_DELTA.sub(b'"text": ""', _DELTA.sub(rb'"text": \1', chat))


@contextlib.contextmanager
def running() -> Iterator[int]:
    """Run the server in a thread of its own; yield its port."""
    loop = asyncio.new_event_loop()
    ports: list[int] = []

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/v1/models", _models)
        app.router.add_post("/v1/{path:.*}", _answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ports.append(runner.addresses[0][1])
        return runner

    runner = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, name="elsewhere")
    thread.start()
    try:
        yield ports[0]
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _models(request: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": []})


async def _answer(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    way = body.get("prompt") or body.get("input") or body["messages"][-1]["content"]
    if way not in WAYS or not (body.get("stream") or way.startswith("wrong")):
        return web.json_response(_whole(request.path))
    kind, answer = WAYS[way]
    answer = text_chunks(answer) if request.path == "/v1/completions" else answer
    return web.Response(headers={"content-type": kind}, body=answer)


def _whole(path: str) -> dict[str, object]:
    said = {"message": {"role": "assistant", "content": "Hello"}} if "chat" in path else {"text": "Hello"}
    return {"id": "x", "choices": [{"index": 0, **said, "finish_reason": "stop"}], "usage": USAGE}
