"""A server that answers as a test tells it to."""

import asyncio
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Scripted:
    """Gives the same answer to everything, and notes the attempts.

    Attributes:
        url: where it answers, up to and with ``/v1``.
        status, headers, body: its answer.
        attempts: the times of the requests so far, in seconds of the loop's clock.
    """

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    attempts: list[float] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request."""
        await request.read()
        self.attempts.append(asyncio.get_running_loop().time())
        return web.Response(status=self.status, headers=self.headers, body=self.body)
