"""A request waits for its answer only as long as its key holds."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from auth.access import Access
from auth.keys import Key
from auth.snapshot import REFRESH_S
from gateway.http import errors


@contextlib.asynccontextmanager
async def while_valid(access: Access, key: Key) -> AsyncGenerator[None, None]:
    """Let what is inside wait until the key is revoked, disabled or expired; it may be queued for longer.

    Raises:
        ApiError: 401, as for any key that does not hold.
    """
    waiting = asyncio.timeout(None)
    watch = _Watch(access, key, waiting)
    try:
        async with waiting:
            yield
    except TimeoutError:
        if waiting.expired():
            raise errors.unauthenticated(missing=False) from None
        raise
    finally:
        watch.end()


class _Watch:
    """Looks at a key now and then, and ends a wait when it does not hold any more."""

    def __init__(self, access: Access, key: Key, waiting: asyncio.Timeout) -> None:
        self._access, self._key, self._waiting = access, key, waiting
        self._look_later()

    def end(self) -> None:
        """Look no more."""
        self._next.cancel()

    def _look_later(self) -> None:
        self._next = asyncio.get_running_loop().call_later(REFRESH_S, self._look)

    def _look(self) -> None:
        if self._access.is_valid(self._key):
            self._look_later()
        else:
            self._waiting.reschedule(asyncio.get_running_loop().time())
