"""The keys that a gateway knows."""

from collections.abc import AsyncIterator

import pytest

from auth.snapshot import KeySnapshot
from auth.store import Store


@pytest.fixture
async def snapshot(store: Store) -> AsyncIterator[KeySnapshot]:
    snapshot = await KeySnapshot.open(store)
    yield snapshot
    await snapshot.close()
