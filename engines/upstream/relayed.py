"""The other server's stream on its way: nothing of it leaves before it has begun, and however it ends is told."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Any, Protocol

import aiohttp
import structlog

from engines.upstream.failures import UpstreamFailed
from engines.upstream.sse import Event, EventReader, EventTooLong

AFTER_FINISH_S = 2.0
"""How long a stream whose choices have all ended may take to tell its usage, or its end."""

LOST = (aiohttp.ClientError, TimeoutError, ssl.SSLError)
"""What becomes of a connection."""

FAILURES = (UpstreamFailed, EventTooLong, *LOST)

log: Any = structlog.get_logger("raygate.upstream")


class Ours(Protocol):
    """A stream in our own form, as it is made of another server's events."""

    model: str
    """Our name of it."""

    @property
    def has_finished(self) -> bool:
        """Whether the answer has ended; its usage may follow."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to come, whatever the server sends."""

    def feed(self, events: Iterable[Event]) -> bytes:
        """Return what the events come to; raises ``UpstreamFailed``."""

    def end(self) -> bytes:
        """Return the end of the stream; raises ``UpstreamFailed``."""


async def begun(response: aiohttp.ClientResponse, ours: Ours, error_event: bytes) -> AsyncGenerator[bytes]:
    """Return the stream once something of it is there: what fails before may still be answered by another model.

    Args:
        response: the other server's.
        ours: makes our own form of it.
        error_event: ends the stream if it fails later.

    Raises:
        UpstreamFailed, EventTooLong, aiohttp.ClientError, TimeoutError, ssl.SSLError: what kept it from beginning.
    """
    pieces = _relayed(response, ours)
    first = await anext(pieces)

    async def told() -> AsyncGenerator[bytes]:
        yield first
        try:
            async for piece in pieces:
                yield piece
        except FAILURES as failure:
            failed(ours.model, failure)
            yield error_event

    return told()


def failed(model: str, failure: Exception) -> None:
    """Write into the log why the other server's answer is none."""
    log.warning("upstream failed", model=model, reason=str(failure) or type(failure).__name__)


async def _relayed(response: aiohttp.ClientResponse, ours: Ours) -> AsyncGenerator[bytes]:
    reader = EventReader()
    async for piece in _pieces(response, ours):
        for event in reader.feed(piece):  # one by one: what came before a failure is told
            if told := ours.feed([event]):
                yield told
        if ours.is_over:
            break
    else:
        if told := ours.feed(reader.end()):
            yield told
    if told := ours.end():
        yield told


async def _pieces(response: aiohttp.ClientResponse, ours: Ours) -> AsyncIterator[bytes]:
    """Yield the body as it comes, until some time after all choices have ended: heartbeats may go on for ever."""
    loop, ends_at = asyncio.get_running_loop(), None
    while True:
        if ours.has_finished and ends_at is None:
            ends_at = loop.time() + AFTER_FINISH_S
        try:
            async with asyncio.timeout_at(ends_at):
                piece = await response.content.readany()
        except TimeoutError:
            if ends_at is None or loop.time() < ends_at:
                raise
            return
        if not piece:
            return
        yield piece
