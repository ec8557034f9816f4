"""The engine's app around the routes of a task, and what all routes share."""

import asyncio
import time
from collections.abc import Awaitable, Iterable
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engines.base import error_response
from engines.transformers.body import RequestError

Json = dict[str, Any]

BROKEN = {"message": "The model failed while it answered.", "type": "server_error", "param": None, "code": None}


def application(model: str, routes: Iterable[Route]) -> Starlette:
    """Return the engine's app.

    Args:
        model: the name that clients know.
        routes: what the model can do.
    """
    entry = {"id": model, "object": "model", "created": int(time.time()), "owned_by": "raygate"}

    async def models(request: Request) -> Response:
        del request
        return json_response({"object": "list", "data": [entry]})

    async def refused(request: Request, error: Exception) -> Response:
        del request
        assert isinstance(error, RequestError)  # noqa: S101 - registered for it alone
        return error_response(error.status, error.message, code=error.code, param=error.param)

    return Starlette(routes=[*routes, Route("/v1/models", models)], exception_handlers={RequestError: refused})


def json_response(content: Json, status: int = 200) -> Response:
    """Return a response with this body."""
    return Response(orjson.dumps(content), status, media_type="application/json")


async def unless_gone(request: Request, work: Awaitable[Response]) -> Response:
    """Return the work's result; end the work when the client leaves or this task is cancelled."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else Response(status_code=499)
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
