"""Bytes from an engine to a client: whole events only, and the usage at the end.

No chunk is parsed as JSON on its way. What the relay must notice (the end, an error, the usage) it finds by byte
patterns that cannot occur inside a JSON string, where every quote is escaped.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from auth.usage import Usage
from gateway import errors, mend
from gateway.answer import EngineLost

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"

_USAGE_CHUNK = b'"choices":[]'
_FINISHED = b'"finish_reason":"'
_ERROR_EVENT = b'data: {"error"'
_EMPTY_DELTA = b'"delta":{},'
_FAILURES = (b'"finish_reason":"abort"', b'"finish_reason":"error"')

Read = Callable[[], Awaitable[bytes]]
Send = Callable[[bytes], Awaitable[None]]


def usage_of(answer: dict[str, Any]) -> Usage | None:
    """Return the usage of an answer or of a stream's last chunk; ``None`` when it has none."""
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return None
    details = usage.get("prompt_tokens_details") or {}
    return Usage(usage["prompt_tokens"], usage.get("completion_tokens") or 0, details.get("cached_tokens") or 0)


@dataclass
class Stream:
    """One streamed answer on its way; what it has learned can be read at any moment.

    Attributes:
        include_usage: whether the client asked for the usage chunk.
        usage: the engine's count, once it has arrived.
        choices: how many completions the stream carries; each opens with an event that holds no token.
        events: events relayed so far.
        error: what went wrong after the status had left.
        finish_reason: of the last choice that finished.
    """

    include_usage: bool
    choices: int = 1
    usage: Usage | None = None
    events: int = 0
    error: errors.ApiError | None = None
    finish_reason: str | None = None
    _done: bool = field(default=False, repr=False)

    @property
    def tokens(self) -> int:
        """About how many completion tokens have been relayed, for streams that end before the engine's count."""
        return max(0, self.events - self.choices)

    async def relay(self, read: Read, send: Send, keep_alive_s: float) -> None:
        """Send the engine's events as they arrive, up to and with ``[DONE]``.

        A stream that breaks off ends with an error event: clients take a plain end for success (WIRE.md C1).

        Args:
            read: returns the engine's next bytes, cut anywhere; ``b""`` at their end.
            send: takes whole events.
            keep_alive_s: until the first event, a comment is sent this often; 0 for never.
        """
        held = b""
        try:
            chunk = await _first(read, send, keep_alive_s)
            while chunk and not self._done:
                held = held + chunk if held else chunk
                end = held.rfind(b"\n\n") + 2
                if end >= 2:
                    whole, held = (held, b"") if end == len(held) else (held[:end], held[end:])
                    if events := self._mended(whole):
                        await send(events)
                if not self._done:
                    chunk = await read()
        except EngineLost:
            pass
        if not self._done:
            await self._fail(errors.engine_lost(), send)

    async def _fail(self, error: errors.ApiError, send: Send) -> None:
        self.error = error
        await send(error.event())

    def _mended(self, whole: bytes) -> bytes:
        self.events += whole.count(b"\n\n")
        if _FINISHED in whole or _USAGE_CHUNK in whole or _ERROR_EVENT in whole:
            whole = b"".join(map(self._mended_event, whole.split(b"\n\n")[:-1]))
        elif whole.endswith(DONE):
            self._done = True
        return whole

    def _mended_event(self, event: bytes) -> bytes:
        """Return one event as the client should see it; empty when it should see none."""
        if self._done:
            return b""
        if event == DONE[:-2]:
            self._done = True
        elif event.startswith(_ERROR_EVENT):
            self._done = True
            self.error = errors.from_engine(500, event.removeprefix(b"data: "))
            return self.error.event()
        elif _USAGE_CHUNK in event:
            self.events -= 1
            chunk = orjson.loads(event.removeprefix(b"data: "))
            self.usage = usage_of(chunk)
            return _event({**chunk, "usage": mend.usage(chunk["usage"])}) if self.include_usage else b""
        elif _FINISHED in event:
            if any(failure in event for failure in _FAILURES):
                self._done = True
                self.error = errors.engine_lost()
                return self.error.event()
            event = event.replace(b'"finish_reason":"repetition"', b'"finish_reason":"stop"')
            self.finish_reason = event.split(_FINISHED, 1)[1].split(b'"', 1)[0].decode()
            if _EMPTY_DELTA not in event:
                return b"".join(map(_event, mend.ending(orjson.loads(event.removeprefix(b"data: ")))))
        return event + b"\n\n"


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


async def _first(read: Read, send: Send, keep_alive_s: float) -> bytes:
    """Return the first bytes; a silent engine's client is kept company meanwhile."""
    waiting = asyncio.ensure_future(read())
    try:
        while not (await asyncio.wait({waiting}, timeout=keep_alive_s or None))[0]:
            await send(KEEP_ALIVE)
        return waiting.result()
    finally:
        waiting.cancel()
