"""A request lives only as long as its key holds: the key's end is the end of what it started."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from auth.access import Access
from auth.keys import Key
from auth.snapshot import REFRESH_S
from gateway.http import errors


@contextlib.asynccontextmanager
async def while_valid(access: Access, key: Key) -> AsyncGenerator["Watch", None]:
    """Let what is inside go on until the key is revoked, disabled, expired, archived or narrowed below it.

    Raises:
        ApiError: 401, as for any key that does not hold.
    """
    going_on = asyncio.timeout(None)
    watch = Watch(access, key, going_on)
    try:
        async with going_on:
            yield watch
    except TimeoutError:
        if going_on.expired():
            raise errors.unauthenticated(missing=False) from None
        raise
    finally:
        watch.end()


class Watch:
    """Looks at a key now and then, and ends what goes on when it does not hold any more."""

    def __init__(self, access: Access, key: Key, going_on: asyncio.Timeout) -> None:
        self._access, self._key, self._going_on = access, key, going_on
        self._model: str | None = None
        self._look_later()

    def of_model(self, model: str) -> None:
        """Look from now on whether the key may still use the model, by the name that was asked for."""
        self._model = model

    def end(self) -> None:
        """Look no more."""
        self._next.cancel()

    def _look_later(self) -> None:
        self._next = asyncio.get_running_loop().call_later(REFRESH_S, self._look)

    def _look(self) -> None:
        if self._access.holds(self._key, self._model):
            self._look_later()
        else:
            self._going_on.reschedule(asyncio.get_running_loop().time())
