"""One HTTP exchange: its id, its clock, and what every response carries."""

import re
import time
import uuid
from collections.abc import Awaitable
from dataclasses import dataclass, field

from starlette.types import Message, Scope, Send

from gateway.http.dialects import OPENAI, Dialect

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context, section 3.2
_LOGGED_ID_LIMIT = 128

API_VERSION = b"2020-10-01"

CLIENT_GONE = 499
"""For the ledger and the log alone (nginx's number): the client left before its answer."""


@dataclass(frozen=True)
class Exchange:
    """What is known of an exchange before anything is read from it.

    Attributes:
        request_id: the client's own ``x-request-id`` if it is fit to be one, else a new one.
        echoed: whether Ray Serve, which gives every request an id, puts it on the response by itself.
        client_request_id: ``X-Client-Request-Id`` as the client sent it, cleaned, for the log.
        started_at: seconds of the monotonic clock.
        traceparent: the client's place in a trace of its own, which goes on in the engine's.
    """

    request_id: str
    echoed: bool
    client_request_id: str | None
    started_at: float
    traceparent: str | None = None

    @classmethod
    def begin(cls, scope: Scope) -> "Exchange":
        """Return the exchange that ``scope`` opens."""
        offered = client = trace = None
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                offered = value
            elif name == b"x-client-request-id":
                client = value[:_LOGGED_ID_LIMIT].decode("ascii", "replace")
            elif name == b"traceparent" and _TRACEPARENT.fullmatch(value):
                trace = value.decode()
        fit = offered is not None and _REQUEST_ID.fullmatch(offered)
        request_id = offered.decode() if fit and offered else f"req_{uuid.uuid4().hex}"
        return cls(request_id, offered is not None, client, time.monotonic(), trace)

    def elapsed_s(self) -> float:
        """Return the seconds since the exchange began."""
        return time.monotonic() - self.started_at

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers that every response carries (WIRE.md C3)."""
        headers = [(b"openai-processing-ms", b"%d" % (self.elapsed_s() * 1000)), (b"openai-version", API_VERSION)]
        if not self.echoed:
            headers.append((b"x-request-id", self.request_id.encode()))
        return headers


@dataclass
class Response:
    """The way back to the client, which knows whether the status has left.

    Attributes:
        status: the HTTP status, 0 until it has left.
        dialect: how errors are put.
        extra: other headers that steps on the request's way add to its response.
        limits: the headers that tell of the limits which the request was held to last.
        facts: what they add to its log line.
    """

    exchange: Exchange
    send: Send
    status: int = 0
    dialect: Dialect = OPENAI
    extra: list[tuple[bytes, bytes]] = field(default_factory=list)
    limits: list[tuple[bytes, bytes]] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, scope: Scope) -> "Response":
        """Return the way back that the envelope opened for the exchange in ``scope``."""
        response: Response = scope["raygate.response"]
        return response

    async def __call__(self, message: Message) -> None:
        """Send an ASGI message, with the exchange's headers on its start."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self.limits, *self.extra, *self.exchange.headers()]
        await self.send(message)

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the status line and headers."""
        await self({"type": "http.response.start", "status": status, "headers": headers})

    def chunk(self, body: bytes) -> Awaitable[None]:
        """Send a part of the body."""
        return self.send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self, body: bytes = b"") -> None:
        """Send the last part of the body."""
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    async def json(self, status: int, body: bytes, extra: dict[str, str] | None = None) -> None:
        """Send a whole JSON response."""
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        headers += [(name.encode(), value.encode()) for name, value in (extra or {}).items()]
        await self.start(status, headers)
        await self.end(body)
