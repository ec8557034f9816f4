"""Bytes from an engine to a client: whole events only.

No chunk is parsed as JSON on its way. What a stream must notice (its end, an error, the usage) it finds by byte
patterns that cannot occur inside a JSON string, where every quote is escaped. They hold for the form that
``engines.base`` states; an event that does not begin as that form's do is parsed, and put into it.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from auth.usage import Usage
from gateway.answers.answer import EngineLost
from gateway.http import errors

KEEP_ALIVE = b": keep-alive\n\n"

EVENT_LIMIT = 16 * 2**20
"""Bytes of one event; an engine that never ends it would fill our memory."""

Read = Callable[[], Awaitable[bytes]]
Send = Callable[[bytes], Awaitable[None]]


def usage_of(answer: dict[str, Any]) -> Usage | None:
    """Return the usage of an answer or of a stream's last chunk; ``None`` when it has none that can be believed."""
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return None
    return Usage.read(
        usage.get("prompt_tokens"), usage.get("completion_tokens"), cached_in(usage, "prompt_tokens_details")
    )


def cached_in(usage: dict[str, Any], details: str) -> object:
    """Return the cached tokens that the ``details`` of a usage tell, as they are; ``None`` when they tell none."""
    told = usage.get(details)
    return told.get("cached_tokens") if isinstance(told, dict) else None


@dataclass
class Stream(ABC):
    """One streamed answer on its way; what it has learned can be read at any moment.

    Attributes:
        usage: the engine's count, once it has arrived.
        events: events relayed so far.
        first_event_at: when the first of them came, in seconds of the monotonic clock.
        error: what went wrong after the status had left.
        finish_reason: of the last choice that finished.
        done: whether the answer is complete: what follows is not relayed.
    """

    usage: Usage | None = field(default=None, kw_only=True)
    events: int = field(default=0, kw_only=True)
    first_event_at: float | None = field(default=None, kw_only=True)
    error: errors.ApiError | None = field(default=None, kw_only=True)
    finish_reason: str | None = field(default=None, kw_only=True)
    done: bool = field(default=False, kw_only=True)

    @property
    @abstractmethod
    def tokens(self) -> int:
        """About how many completion tokens have been relayed, for streams that end before the engine's count."""

    @abstractmethod
    def mended(self, whole: bytes) -> bytes:
        """Return whole events as the client should see them, and note what they tell."""

    @abstractmethod
    def fail(self, error: errors.ApiError) -> bytes:
        """Return the events that end the stream with ``error``."""

    async def relay(self, read: Read, send: Send, keep_alive_s: float) -> None:
        """Send the engine's events as they arrive, up to and with the last.

        A stream that breaks off ends with an error event: clients take a plain end for success (WIRE.md C1).

        Args:
            read: returns the engine's next bytes, cut anywhere; ``b""`` at their end.
            send: takes whole events.
            keep_alive_s: until the first event, a comment is sent this often; 0 for never.
        """
        held = b""
        try:
            chunk = await _first(read, send, keep_alive_s)
            while chunk and not self.done:
                held = held + chunk if held else chunk
                if b"\r" in held:  # no JSON has one
                    held = held.replace(b"\r\n", b"\n")
                end = held.rfind(b"\n\n") + 2
                if end >= 2:
                    whole, held = (held, b"") if end == len(held) else (held[:end], held[end:])
                    events = self.mended(whole)
                    if self.first_event_at is None and self.events:
                        self.first_event_at = time.monotonic()
                    if events:
                        await send(events)
                elif len(held) > EVENT_LIMIT:
                    break
                if not self.done:
                    chunk = await read()
            # Some close right behind their last line.
            if not chunk and held.strip() and (events := self.mended(held.strip() + b"\n\n")):
                await send(events)
        except EngineLost:
            pass
        if not self.done:
            await send(self.fail(errors.engine_lost()))


async def _first(read: Read, send: Send, keep_alive_s: float) -> bytes:
    """Return the first bytes; a silent engine's client is kept company meanwhile."""
    waiting = asyncio.ensure_future(read())
    try:
        while not (await asyncio.wait({waiting}, timeout=keep_alive_s or None))[0]:
            await send(KEEP_ALIVE)
        return waiting.result()
    finally:
        waiting.cancel()
