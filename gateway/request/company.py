"""Who waits for a stream is kept company: comments go out while no model has begun to answer.

The first of them begins the client's stream, for proxies and clients give up on a connection that stays silent. What
goes wrong from then on is told as an event, as in the middle of an answer.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from gateway.answers.relay import KEEP_ALIVE
from gateway.http.exchange import Response

LAST_S = 1.0
"""How long a comment that is on its way may take when the wait is over."""

_EVENT_STREAM = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)


async def begin_stream(response: Response) -> None:
    """Begin the client's stream, unless that has been done."""
    if not response.status:
        await response.start(200, list(_EVENT_STREAM))


@contextlib.asynccontextmanager
async def company(response: Response, every_s: float) -> AsyncGenerator[None, None]:
    """Send the client a comment whenever so much time has passed, until the wait inside is over.

    Args:
        response: the way to the client.
        every_s: seconds; a wait that is shorter costs a timer, and no task.
    """
    keeper = _Keeper(response, every_s)
    timer = asyncio.get_running_loop().call_later(every_s, keeper.begin)
    try:
        yield
    finally:
        timer.cancel()
        await keeper.end()


class _Keeper:
    """Sends the comments, once it has begun."""

    def __init__(self, response: Response, every_s: float) -> None:
        self._response, self._every_s = response, every_s
        self._is_over = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin, in a task of its own."""
        self._keeping = asyncio.create_task(self._keep(), name="company")

    async def end(self) -> None:
        """End between two comments: half of one would spoil what follows."""
        self._is_over.set()
        if self._keeping is None:
            return
        try:
            await asyncio.wait({self._keeping}, timeout=LAST_S)
        finally:
            self._keeping.cancel()
            # What kept a comment from being sent keeps what follows as well, and is told there.
            await asyncio.gather(self._keeping, return_exceptions=True)

    async def _keep(self) -> None:
        await begin_stream(self._response)
        while not self._is_over.is_set():
            await self._response.chunk(KEEP_ALIVE)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._is_over.wait()
