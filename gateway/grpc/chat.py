"""``raygate.v1.Chat``: what the ASGI app answers, as protobuf."""

import contextlib
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import orjson
from ray.serve.grpc_util import RayServegRPCContext
from starlette.types import ASGIApp, Message, Scope

from gateway.grpc.call import chat_body, chat_scope, messages_of
from gateway.grpc.chat_pb2 import ChatChunk, ChatRequest, ChatResponse
from gateway.grpc.fields import fill
from gateway.grpc.status import DETAILS, code_of, details_of, late_code_of
from gateway.http.exchange import Response

_OF_HTTP = frozenset({"content-type", "content-length", "cache-control", "connection", "x-accel-buffering"})
"""Headers that say nothing over gRPC."""


@dataclass
class Reply:
    """An HTTP answer on its way into a gRPC call, which has its status and its headers at the end.

    Attributes:
        scope: of the request.
        status: HTTP's, 0 until it has come.
        headers: those that say something over gRPC.
    """

    scope: Scope
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)

    def start(self, message: Message) -> None:
        """Take the answer's status and headers."""
        self.status = message["status"]
        named = {name.decode(): value.decode() for name, value in message["headers"]}
        self.headers = {name: value for name, value in named.items() if name not in _OF_HTTP}
        self.headers["x-request-id"] = Response.of(self.scope).exchange.request_id

    def end(self, context: RayServegRPCContext) -> None:
        """End the call well."""
        context.set_trailing_metadata(list(self.headers.items()))

    def fail(self, context: RayServegRPCContext, code: grpc.StatusCode, error: dict[str, Any]) -> None:
        """End the call with an error of the API."""
        context.set_code(code)
        context.set_details(error["message"])
        details = details_of(code, error, self.headers.get("retry-after-ms"))
        context.set_trailing_metadata([*self.headers.items(), (DETAILS, details)])


async def complete(app: ASGIApp, request: ChatRequest, context: RayServegRPCContext) -> ChatResponse:
    """Answer ``Complete``; with an error, which is in the context then, nobody sees the empty message."""
    reply = Reply(chat_scope(context.invocation_metadata(), context.peer()))
    body = b""
    async with contextlib.aclosing(messages_of(app, reply.scope, chat_body(request, stream=False))) as messages:
        async for message in messages:
            if message["type"] == "http.response.start":
                reply.start(message)
            else:
                body += message["body"]
    response = ChatResponse()
    if reply.status >= 400:
        reply.fail(context, code_of(reply.status), orjson.loads(body)["error"])
    else:
        fill(response, _untyped(orjson.loads(body)))
        reply.end(context)
    return response


async def stream(app: ASGIApp, request: ChatRequest, context: RayServegRPCContext) -> AsyncGenerator[ChatChunk, None]:
    """Answer ``Stream``, chunk by chunk as they arrive; an error ends it, and is in the context then."""
    reply = Reply(chat_scope(context.invocation_metadata(), context.peer()))
    error, refusal = None, b""
    async with contextlib.aclosing(messages_of(app, reply.scope, chat_body(request, stream=True))) as messages:
        async for message in messages:
            if message["type"] == "http.response.start":
                reply.start(message)
            elif reply.status >= 400:
                refusal += message["body"]
            else:
                for event in _events(message["body"]):
                    if "error" in event:
                        error = event["error"]
                    else:
                        yield _chunk(event)
    if refusal:
        reply.fail(context, code_of(reply.status), orjson.loads(refusal)["error"])
    elif error:
        reply.fail(context, late_code_of(error), error)
    else:
        reply.end(context)


def _events(body: bytes) -> Iterator[dict[str, Any]]:
    """Yield the objects in whole events; the comments that keep HTTP alive, and ``[DONE]``, are none."""
    for event in body.split(b"\n\n"):
        if event.startswith(b"data: {"):
            yield orjson.loads(event.removeprefix(b"data: "))


def _chunk(event: dict[str, Any]) -> ChatChunk:
    chunk = ChatChunk()
    fill(chunk, _untyped(event))
    return chunk


def _untyped(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer without ``object``: the protobuf message is its type."""
    answer.pop("object", None)
    return answer
