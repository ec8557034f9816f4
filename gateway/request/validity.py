"""A request lives only as long as its key holds: the key's end is the end of what it started."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence

from auth.access import Access
from auth.keys import INFERENCE, Key
from auth.snapshot import REFRESH_S
from gateway.http import errors


@contextlib.asynccontextmanager
async def while_valid(
    access: Access, key: Key, *, needs: Sequence[str] = (INFERENCE,)
) -> AsyncGenerator["Watch", None]:
    """Let what is inside go on until the key is revoked, disabled, expired, archived or narrowed below it.

    Args:
        access: knows the key as it is now.
        key: as it was identified.
        needs: the scopes of which it must have one still.

    Raises:
        ApiError: 401, as for any key that does not hold.
    """
    going_on = asyncio.timeout(None)
    watch = Watch(access, key, needs, going_on)
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

    def __init__(self, access: Access, key: Key, needs: Sequence[str], going_on: asyncio.Timeout) -> None:
        self._access, self._key, self._needs, self._going_on = access, key, needs, going_on
        self._model: str | None = None
        self._look_later()

    def of_model(self, model: str) -> Key:
        """Look from now on whether the key may still use the model, by the name that was asked for.

        Returns:
            The key as it is now: it may have been changed while the request arrived.

        Raises:
            ApiError: 401, when it may not use the model already.
        """
        self._model = model
        now = self._access.current(self._key, self._needs, model)
        if now is None:
            raise errors.unauthenticated(missing=False)
        return now

    def end(self) -> None:
        """Look no more."""
        self._next.cancel()

    def _look_later(self) -> None:
        self._next = asyncio.get_running_loop().call_later(REFRESH_S, self._look)

    def _look(self) -> None:
        if self._access.current(self._key, self._needs, self._model):
            self._look_later()
        else:
            self._going_on.reschedule(asyncio.get_running_loop().time())
