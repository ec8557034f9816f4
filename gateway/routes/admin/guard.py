"""What stands before every admin route: the key first, then a body within bounds, and only then FastAPI."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import orjson
from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.types import Message

from auth.keys import Key
from gateway.config.settings import Bounds
from gateway.http.body import read_json
from gateway.http.outage import database_needed
from gateway.request.identify import identify
from gateway.request.services import Services
from gateway.request.validity import while_valid

BEARER = HTTPBearer(scheme_name="API key", description="A key of this gateway.", auto_error=False)
"""Describes in the OpenAPI schema how a key is shown; ``identify`` looks at it."""


def guarded(services: Services, scope: str) -> type[APIRoute]:
    """Return a kind of route that only keys with ``scope`` pass.

    FastAPI alone reads a body of any size, and does so before it asks who sends it.
    """

    class Guarded(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()
            takes_body = self.body_field is not None

            async def guard(request: Request) -> Response:
                key = request.state.key = identify(services, request.scope, needs=[scope])
                if takes_body:
                    async with while_valid(services.access, key, needs=[scope]):
                        request = await _within_bounds(request, services.settings.bounds)
                with database_needed():
                    return await handle(request)

            return guard

    return Guarded


def _who(request: Request) -> str:
    key: Key = request.state.key
    return key.id


Actor = Annotated[str, Depends(_who)]
"""The id of the key that asks, for the audit log."""


async def _within_bounds(request: Request, bounds: Bounds) -> Request:
    """Return the request with its body read, checked, and ready to be read again."""
    is_sent = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    body = orjson.dumps(await read_json(request.scope, request.receive, bounds)) if is_sent else b""

    async def again() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(request.scope, again)
