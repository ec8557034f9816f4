"""What each request has used: for gateways that never got the engine's count.

An engine tells its count with the end of its answer. A client that leaves early takes that end with it, so the gateway
asks afterwards, by the id that it gave the request.
"""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Receive, Scope, Send

from engines.base import REQUEST_HEADER, Used

REMEMBERED = 20_000
"""Requests that have ended, of which it is known what they used; older ones are forgotten."""

ENDING_S = 0.8
"""How long a request that was given up may take to end before it is asked what it has used so far."""

Count = Callable[[], Used]


@dataclass
class _Request:
    counts: list[Count] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def used(self) -> Used | None:
        """Return what it has used so far; ``None`` when the engine does not tell."""
        return sum((count() for count in self.counts), start=Used()) if self.counts else None


_current: ContextVar[_Request | None] = ContextVar("request", default=None)


def count_with(count: Count) -> None:
    """Let the request at hand be counted by ``count``, beside others: it is called when the request ends, or before."""
    if request := _current.get():
        request.counts.append(count)


class UsedRecord:
    """An ASGI layer that remembers what the requests through it have used."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open: dict[str, _Request] = {}
        self._ended: dict[str, Used | None] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and note what it used."""
        request_id = _request_id(scope)
        if request_id is None:
            await self._app(scope, receive, send)
            return
        request = self._open[request_id] = _Request()
        token = _current.set(request)
        try:
            await self._app(scope, receive, send)
        finally:
            _current.reset(token)
            self._end(request_id, request)

    def _end(self, request_id: str, request: _Request) -> None:
        self._ended.pop(request_id, None)
        self._ended[request_id] = request.used()
        if len(self._ended) > REMEMBERED:
            del self._ended[next(iter(self._ended))]
        if self._open.get(request_id) is request:
            del self._open[request_id]
        request.ended.set()

    async def used(self, request_id: str) -> Used | None:
        """Return what a request has used, when it has ended or ``ENDING_S`` have passed.

        Returns:
            ``None`` when the engine does not tell.

        Raises:
            KeyError: no such request has come, or it is forgotten.
        """
        if request := self._open.get(request_id):
            try:
                async with asyncio.timeout(ENDING_S):
                    await request.ended.wait()
            except TimeoutError:
                return request.used()
        return self._ended[request_id]


def _request_id(scope: Scope) -> str | None:
    if scope["type"] != "http":
        return None
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == REQUEST_HEADER), None)
