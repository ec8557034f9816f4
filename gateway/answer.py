"""What comes back from an engine: a status, and bytes as they arrive."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


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
