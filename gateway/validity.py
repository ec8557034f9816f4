"""A request waits for its answer only as long as its key holds."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from auth.access import Access
from auth.keys import Key
from auth.snapshot import REFRESH_S
from gateway import errors


@contextlib.asynccontextmanager
async def while_valid(access: Access, key: Key) -> AsyncGenerator[None, None]:
    """Let what is inside wait until the key is revoked, disabled or expired; it may be queued for longer.

    Raises:
        ApiError: 401, as for any key that does not hold.
    """
    loop = asyncio.get_running_loop()
    waiting = asyncio.timeout(None)

    def look() -> None:
        if access.is_valid(key):
            looks.append(loop.call_later(REFRESH_S, look))
        else:
            waiting.reschedule(loop.time())
        looks.pop(0)

    looks = [loop.call_later(REFRESH_S, look)]
    try:
        async with waiting:
            yield
    except TimeoutError:
        if waiting.expired():
            raise errors.unauthenticated(missing=False) from None
        raise
    finally:
        for pending in looks:
            pending.cancel()
