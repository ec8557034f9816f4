import asyncio
import gc
import time
import weakref
from typing import Any, cast

import pytest

from gateway.http.errors import ApiError
from gateway.request.validity import while_valid

KEY = cast("Any", None)


class Keys:
    """Access for one key until it is revoked."""

    revoked = False

    def current(self, key: object, needs: object, model: str | None) -> object | None:
        return None if self.revoked else self


async def wait(keys: Keys, seconds: float) -> None:
    async with while_valid(cast("Any", keys), KEY):
        await asyncio.sleep(seconds)


async def test_who_holds_a_valid_key_waits_as_long_as_it_takes() -> None:
    await wait(Keys(), 0.6)


async def test_who_waits_with_a_key_that_is_revoked_meanwhile_is_refused_within_a_second() -> None:
    keys = Keys()
    asyncio.get_running_loop().call_later(0.3, setattr, keys, "revoked", True)
    started = time.monotonic()
    with pytest.raises(ApiError) as refused:
        await wait(keys, 30)
    assert (refused.value.status, refused.value.code) == (401, "invalid_api_key")
    assert time.monotonic() - started < 1.3


async def test_a_time_that_runs_out_inside_is_no_matter_of_the_key() -> None:
    with pytest.raises(TimeoutError):
        async with while_valid(cast("Any", Keys()), KEY), asyncio.timeout(0.05):
            await asyncio.sleep(1)


async def test_a_client_that_leaves_is_no_matter_of_the_key() -> None:
    waiting = asyncio.create_task(wait(Keys(), 30))
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_wait_that_is_over_leaves_nothing_behind() -> None:
    keys = Keys()
    remembered = weakref.ref(keys)
    gc.disable()
    try:
        await wait(keys, 0)
        del keys
        assert remembered() is None
    finally:
        gc.enable()
