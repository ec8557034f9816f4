"""What comes back from an engine: a status, and bytes as they arrive."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

DRAIN_S = 0.1
"""How long the end of a body may lag behind its last event before the connection is given up."""


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
    """

    status: int
    replica: str
    read: Callable[[], Awaitable[bytes]]

    async def body(self) -> bytes:
        """Return what is left of the body, whole."""
        chunks = []
        while chunk := await self.read():
            chunks.append(chunk)
        return b"".join(chunks)


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
