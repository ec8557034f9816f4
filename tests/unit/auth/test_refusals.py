import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from auth import refusals as refusals_module
from auth.ledger_check import sums
from auth.ledger_tables import RefusalRow
from auth.refusal_report import RefusalSum
from auth.refusal_report import refusals as report
from auth.refusals import Refusal, Refusals
from auth.store import Store, sqlite_url
from auth.usage_report import usage
from tests.unit.auth.test_snapshot import eventually
from tests.unit.clock import Clock

HOUR_S = 3600
LIMITED = Refusal("key_1", "default", "m", 429, "rate_limit_exceeded")
WRONG = Refusal("key_1", "default", "unknown", 404, "model_not_found")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def refusals(store: Store, clock: Clock) -> AsyncIterator[Refusals]:
    yield Refusals(store, clock)


async def rows_in(store: Store) -> list[tuple[int, str, int]]:
    query = select(RefusalRow.minute, RefusalRow.error_code, RefusalRow.count).order_by(RefusalRow.id)
    async with store.reading() as connection:
        return [(row.minute, row.error_code, row.count) for row in await connection.execute(query)]


async def counted(store: Store) -> tuple[int, int]:
    """Return requests and errors as the usage has them."""
    (total,) = (await usage(store, since=0, until=time.time() + HOUR_S)).sums
    return total.requests, total.errors


async def test_what_is_refused_a_thousand_times_in_a_minute_is_one_row(store: Store, refusals: Refusals) -> None:
    for _ in range(1000):
        refusals.count(LIMITED)
    await refusals.flush()
    assert await rows_in(store) == [(60_000, "rate_limit_exceeded", 1000)]


async def test_each_reason_and_each_minute_has_its_count(store: Store, refusals: Refusals, clock: Clock) -> None:
    refusals.count(LIMITED)
    refusals.count(WRONG)
    clock.now += 60
    refusals.count(LIMITED)
    await refusals.flush()
    assert sorted(await rows_in(store)) == [
        (60_000, "model_not_found", 1),
        (60_000, "rate_limit_exceeded", 1),
        (60_001, "rate_limit_exceeded", 1),
    ]


async def test_a_count_goes_on_where_it_was_written(store: Store, refusals: Refusals) -> None:
    for _ in range(3):
        refusals.count(LIMITED)
        await refusals.flush()
    assert await rows_in(store) == [(60_000, "rate_limit_exceeded", 3)]
    assert await counted(store) == (3, 3)


async def test_counts_written_again_count_once(store: Store, refusals: Refusals) -> None:
    refusals.count(LIMITED)
    await refusals.flush()
    (count,) = refusals._counts.values()
    count.written = 0  # as if the answer to the commit had been lost
    await refusals.flush()
    assert await counted(store) == (1, 1)


async def test_the_usage_counts_them_as_requests_that_no_model_answered(store: Store, refusals: Refusals) -> None:
    refusals.count(LIMITED)
    await refusals.flush()
    page = await usage(store, since=0, until=time.time(), group_by=["key", "project", "model", "hour"])
    assert [(each.group, each.requests, each.errors) for each in page.sums] == [
        ({"key": "key_1", "project": "default", "model": "", "hour": 1_000 * HOUR_S}, 1, 1)
    ]


async def test_rows_and_hours_agree_with_them(store: Store, refusals: Refusals) -> None:
    refusals.count(LIMITED)
    refusals.count(LIMITED)
    await refusals.flush()
    of_rows, of_hours = await sums(store)
    assert of_rows == of_hours == (2, 0, 0, 0)


async def test_gateway_replicas_count_beside_each_other(store: Store, refusals: Refusals, clock: Clock) -> None:
    other = Refusals(store, clock)
    for each in (refusals, other, other):
        each.count(LIMITED)
    await asyncio.gather(refusals.flush(), other.flush())
    assert await counted(store) == (3, 3)
    assert sorted(count for _, _, count in await rows_in(store)) == [1, 2]


async def test_the_report_has_the_most_frequent_first_and_when_it_was_last(
    store: Store, refusals: Refusals, clock: Clock
) -> None:
    refusals.count(WRONG)
    refusals.count(LIMITED)
    clock.now += 120
    refusals.count(LIMITED)
    await refusals.flush()
    found = await report(store, since=0, until=clock.now + 60)
    assert found == [
        RefusalSum("key_1", "default", "m", 429, "rate_limit_exceeded", refusals=2, last=clock.now),
        RefusalSum("key_1", "default", "unknown", 404, "model_not_found", refusals=1, last=clock.now - 120),
    ]


async def test_the_report_has_only_what_is_asked_for(store: Store, refusals: Refusals, clock: Clock) -> None:
    refusals.count(LIMITED)
    refusals.count(Refusal("key_2", "other", "m", 400, "invalid_value"))
    clock.now += 60
    refusals.count(WRONG)
    await refusals.flush()
    everything = {"since": 0, "until": clock.now + 60}
    assert [each.key for each in await report(store, **everything, key="key_2")] == ["key_2"]
    assert [each.key for each in await report(store, **everything, project="other")] == ["key_2"]
    assert len(await report(store, **everything, limit=1)) == 1
    assert [each.code for each in await report(store, since=clock.now, until=clock.now + 60)] == ["model_not_found"]
    assert await report(store, since=0, until=60) == []


async def test_memory_is_bounded_and_what_is_past_leaves_it(
    store: Store, refusals: Refusals, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals_module, "MAX_COUNTERS", 2)
    for status in (400, 404, 413, 429):
        refusals.count(Refusal("key_1", "default", "m", status, ""))
    assert refusals.dropped == 2
    clock.now += 60
    await refusals.flush()
    refusals.count(Refusal("key_1", "default", "m", 413, ""))
    assert refusals.dropped == 2


async def test_closing_writes_everything(store: Store) -> None:
    refusals = await Refusals.open(store)
    for number in range(1200):
        refusals.count(Refusal(f"key_{number}", "default", "m", 429, ""))
    await refusals.close()
    assert await counted(store) == (1200, 1200)


async def test_counts_wait_while_the_database_is_away(tmp_path: Path) -> None:
    store = Store(sqlite_url(tmp_path))
    await store.migrate()
    refusals = await Refusals.open(store)
    await store.close()
    (tmp_path / "raygate.db").rename(tmp_path / "away.db")
    refusals.count(LIMITED)
    await eventually(lambda: refusals.degraded is not None, within_s=5)
    await store.close()
    (tmp_path / "away.db").replace(tmp_path / "raygate.db")
    await eventually(lambda: refusals.degraded is None, within_s=5)
    await refusals.close()
    assert await counted(store) == (1, 1)
    await store.close()
