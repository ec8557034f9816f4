"""``POST /v1/chat/completions``."""

from typing import Any

from starlette.types import Receive, Scope

from gateway.chat import parse_chat
from gateway.exchange import Response
from gateway.request import Call, generate
from gateway.services import Services
from gateway.settings import Bounds


class Chat:
    """A plain ASGI endpoint: FastAPI's dependency injection would cost more than all the rest of the way."""

    path = "/v1/chat/completions"

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Response) -> None:
        """Answer one chat request, streamed or whole."""
        await generate(self._services, _call, scope, receive, send)


def _call(payload: dict[str, Any], bounds: Bounds) -> Call:
    body = parse_chat(payload, bounds)
    include_usage = bool(body.stream_options and body.stream_options.include_usage)
    return Call(Chat.path, body.model, bool(body.stream), include_usage, payload)
