"""A gRPC call as a request to the ASGI app, so that it goes every step of the way that HTTP goes."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from urllib.parse import unquote

import anyio
import orjson
from google.protobuf.message import Message as Protobuf
from starlette.types import ASGIApp, Message, Receive, Scope

from gateway import paths
from gateway.grpc.fields import to_json

Metadata = Sequence[tuple[str, str | bytes]]

_AHEAD = 16
"""ASGI messages that an answer may be ahead of its reader."""

_PASSED_ON = frozenset({"authorization", "x-request-id", "x-client-request-id", "x-forwarded-for"})


def chat_scope(metadata: Metadata, peer: str) -> Scope:
    """Return the ASGI scope of a chat request.

    Args:
        metadata: what the client sent.
        peer: who has connected, as gRPC writes it: ``ipv4:192.0.2.7:50000``.
    """
    headers = [(name.encode(), _bytes(value)) for name, value in metadata if name in _PASSED_ON]
    headers += [(b"authorization", b"Bearer " + _bytes(value)) for name, value in metadata if name == "x-api-key"]
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "2",
        "method": "POST",
        "scheme": "http",
        "path": paths.CHAT,
        "raw_path": paths.CHAT.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [*headers, (b"content-type", b"application/json")],
        "client": (_address(peer), 0),
    }


def chat_body(request: Protobuf, *, stream: bool) -> bytes:
    """Return the JSON body that a ``ChatRequest`` stands for; a stream always tells its usage."""
    mode = {"stream": True, "stream_options": {"include_usage": True}} if stream else {"stream": False}
    return orjson.dumps({**to_json(request), **mode})


async def messages_of(app: ASGIApp, scope: Scope, body: bytes) -> AsyncGenerator[Message, None]:
    """Ask the app, and yield what it sends; closing this ends the request as a client does that leaves."""
    send, receive = anyio.create_memory_object_stream[Message](_AHEAD)

    async def ask() -> None:
        async with send:
            await app(scope, _whole(body), send.send)

    asking = asyncio.create_task(ask(), name="grpc call")
    try:
        async for message in receive:
            yield message
        await asking
    finally:
        asking.cancel()
        await asyncio.wait([asking])
        receive.close()


def _whole(body: bytes) -> Receive:
    """Return the receiving side of a request that is there already; who leaves is noticed by whoever closes it."""
    bodies = [body]

    async def receive() -> Message:
        if bodies:
            return {"type": "http.request", "body": bodies.pop(), "more_body": False}
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # never done

    return receive


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def _address(peer: str) -> str:
    """Return the address of who has connected; empty for a Unix socket."""
    family, _, rest = peer.partition(":")
    return unquote(rest.rpartition(":")[0]).strip("[]") if family in {"ipv4", "ipv6"} else ""
