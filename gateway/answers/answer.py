"""What comes back from an engine: a status, and bytes as they arrive."""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import aiohttp

DRAIN_S = 0.1
"""How long the end of a body may lag behind its last event before the connection is given up."""


MAX_WAIT_S = 86_400.0
"""No engine makes anybody wait for longer, whatever it says."""


class EngineLost(Exception):
    """The connection to the engine broke in the middle of an answer."""


@dataclass(frozen=True)
class Answer:
    """An engine's answer whose status line has arrived.

    Attributes:
        status: the engine's HTTP status.
        replica: the id of the replica that answers.
        read: returns the next bytes of the body as they arrive, ``b""`` at its end; raises :class:`EngineLost` when
            it breaks off.
        retry_after_s: in how many seconds the engine wants to be asked again, if it says so.
    """

    status: int
    replica: str
    read: Callable[[], Awaitable[bytes]]
    retry_after_s: float | None = None

    async def body(self) -> bytes:
        """Return what is left of the body, whole."""
        chunks = []
        while chunk := await self.read():
            chunks.append(chunk)
        return b"".join(chunks)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return when an engine wants to be asked again: seconds from now, between 0 and ``MAX_WAIT_S``.

    Args:
        headers: the answer's, by names in small letters or in whatever case the mapping ignores: ``retry-after-ms``
            (OpenAI's), else ``retry-after``, a number of seconds or a date (RFC 9110, 10.2.3).
    """
    told = _number(headers.get("retry-after-ms"), per_second=1000)
    if told is None:
        told = _number(headers.get("retry-after"), per_second=1)
    if told is None:
        told = _seconds_until(headers.get("retry-after", ""))
    return None if told is None else min(max(told, 0.0), MAX_WAIT_S)


def _number(text: str | None, *, per_second: int) -> float | None:
    try:
        number = float(text or "") / per_second
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _seconds_until(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None


async def read(response: aiohttp.ClientResponse) -> bytes:
    """Return the next bytes of a body over HTTP.

    Raises:
        EngineLost: it breaks off.
    """
    try:
        return await response.content.readany()
    except aiohttp.ClientError as error:
        raise EngineLost from error


async def drain(response: aiohttp.ClientResponse) -> None:
    """Read the last bytes of a finished body, so that its connection can serve another request."""
    if response.content.at_eof():
        return
    with contextlib.suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(DRAIN_S):
            while not response.content.at_eof():
                await response.content.readany()
