"""Ray Serve's ordinary path to the echo engine: Python proxy, FastAPI ingress, streaming handle call, engine.

It is what Ray Serve's documentation leads to, with Ray's own defaults; only ``max_ongoing_requests``, 5 by default,
is high enough for every client of the benchmark. There are no keys and no limits on this path.
"""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle

from engines.echo.args import EchoArgs
from engines.echo.reply import ChatReply
from engines.echo.request import ChatRequest

MAX_ONGOING_REQUESTS = 10_000


@serve.deployment(name="engine", max_ongoing_requests=MAX_ONGOING_REQUESTS)
class Engine:
    """Makes the same answers as ``engines.echo``."""

    async def whole(self, chat: ChatRequest) -> bytes:
        return ChatReply(chat, "echo", EchoArgs()).whole()

    async def events(self, chat: ChatRequest) -> AsyncIterator[bytes]:
        async for event in ChatReply(chat, "echo", EchoArgs()).events():
            yield event


def build(args: dict[str, Any]) -> Application:
    """Return the Serve application."""
    del args
    api = FastAPI()

    @serve.deployment(name="ingress", max_ongoing_requests=MAX_ONGOING_REQUESTS)
    @serve.ingress(api)
    class Ingress:
        def __init__(self, engine: DeploymentHandle[Any]) -> None:
            self._engine = engine

        @api.post("/v1/chat/completions")
        async def chat(self, chat: ChatRequest) -> Response:
            if chat.stream:
                events = self._engine.options(stream=True).events.remote(chat)
                return StreamingResponse(events, media_type="text/event-stream")
            return Response(await self._engine.whole.remote(chat), media_type="application/json")

    return Ingress.bind(Engine.bind())  # type: ignore[attr-defined]  # the decorator's doing
