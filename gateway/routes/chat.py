"""``POST /v1/chat/completions``."""

from typing import Any

from starlette.types import Receive, Scope, Send

from gateway.call import Call
from gateway.chat import ChatBody, parse_chat
from gateway.exchange import Response
from gateway.request import generate
from gateway.services import Services
from gateway.settings import Bounds


class Chat:
    """The endpoint."""

    path = "/v1/chat/completions"

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one chat request, streamed or whole."""
        del send  # the envelope's own is richer
        await generate(self._services, _call, scope, receive, Response.of(scope))


def chat_documented(body: ChatBody) -> dict[str, Any]:
    """Answer a conversation, whole or as a stream of server-sent events (``stream: true``)."""
    raise NotImplementedError("describes the route; Chat answers it")


def _call(payload: dict[str, Any], bounds: Bounds) -> Call:
    body = parse_chat(payload, bounds)
    return Call(
        path=Chat.path,
        model=body.model,
        stream=bool(body.stream),
        include_usage=bool(body.stream_options and body.stream_options.include_usage),
        max_tokens=body.max_completion_tokens or body.max_tokens,
        choices=body.n or 1,
        user=body.user,
        metadata=body.metadata,
        payload=payload,
    )
