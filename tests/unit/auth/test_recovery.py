import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from auth import lease_actor
from auth.counter import Counter
from auth.lease_actor import LeaseKeeper
from auth.leases import Demand, Report
from auth.ledger_row import LOST, LedgerRow, id_floor, new_id
from auth.ledger_write import Batch, write
from auth.limits import Limit, Per
from auth.periods import period_of
from auth.recovery import used_by_all, used_so_far
from auth.store import Store

NOW = time.time()
MONTH = period_of("month", NOW).name
DAY = period_of("day", NOW).name
BEFORE = "0008"
"""The schema's version before budgets had sums of their own."""


def a_row(model: str, began_at: float) -> LedgerRow:
    counts = {"prompt_tokens": 10, "completion_tokens": 5, "cost": 0.5, "status": 200}
    return LedgerRow(
        "r", "key_1", "default", model, model, created_at=began_at, id=id_floor(began_at) + model[-1], **counts
    )


@pytest.fixture
async def used(store: Store) -> Store:
    now = time.time()
    rows = [a_row("model-a", now - 1), a_row("model-b", now - 2), a_row("model-a", now - 40 * 86_400)]
    await write(store, Batch("gateway-1", rows, [], {}))
    return store


@pytest.mark.parametrize(
    ("limit", "period", "expected"),
    [
        (Limit("tokens", "month", 100), MONTH, 30),
        (Limit("prompt_tokens", "day", 100, model="model-a"), DAY, 10),
        (Limit("cost", "month", 100), MONTH, 1.0),
        (Limit("requests", "minute", 100), "", 2),
        (Limit("completion_tokens", "minute", 100, model="*-b"), "", 5),
        (Limit("concurrency", None, 100), "", 0),
    ],
)
async def test_the_ledger_knows_what_was_used(used: Store, limit: Limit, period: str, expected: float) -> None:
    assert await used_so_far(used, Counter(limit, "key", "key_1", period).id) == expected
    assert await used_so_far(used, Counter(limit, "project", "default", period).id) == expected
    assert await used_so_far(used, Counter(limit, "key", "key_2", period).id) == 0


async def test_a_request_that_no_model_took_is_not_used_after_a_restart_either(used: Store) -> None:
    refused = LedgerRow("r", "key_1", "default", "model-a", status=429, error_code="rate_limit_exceeded")
    await write(used, Batch("gateway-1", [refused], [], {}))
    assert await used_so_far(used, Counter(Limit("requests", "month", 100), "key", "key_1", MONTH).id) == 2
    assert await used_so_far(used, Counter(Limit("requests", "minute", 100), "key", "key_1", "").id) == 2


def demand(used: float, gone: float | None, need: float) -> Demand:
    counter = Counter(Limit("tokens", "month", 100), "key", "key_1", MONTH)
    return Demand(counter.id, 100, used, used, need, 0, 86_400, gone=gone)


async def test_a_new_coordinator_counts_what_was_used_before_it(used: Store) -> None:
    keeper = LeaseKeeper(used.url.render_as_string(hide_password=False))
    reply = await keeper.report(Report("replica-1", 1, (demand(0, None, 71),)))
    assert [grant.added for grant in reply.grants.values()] == [0]
    reply = await keeper.report(Report("replica-1", 2, (demand(0, None, 70),)))
    assert [grant.added for grant in reply.grants.values()] == [70]
    await keeper._store.close()


async def test_what_living_replicas_say_corrects_what_the_ledger_said(used: Store) -> None:
    keeper = LeaseKeeper(used.url.render_as_string(hide_password=False))
    await keeper.report(Report("new", 1, (demand(0, None, 0),)))
    await keeper.report(Report("old", 1, (demand(30, 0, 0),)))
    reply = await keeper.report(Report("new", 2, (demand(0, None, 70),)))
    assert [grant.added for grant in reply.grants.values()] == [70]
    await keeper._store.close()


async def test_without_a_ledger_nothing_is_granted_of_a_budget(tmp_path: Path) -> None:
    keeper = LeaseKeeper(f"sqlite:///{tmp_path / 'no.db'}")
    reply = await keeper.report(Report("replica-1", 1, (demand(0, None, 100),)))
    assert [(grant.added, grant.gone) for grant in reply.grants.values()] == [(0, None)]
    await keeper._store.close()


async def test_without_a_ledger_a_minutes_limit_begins_with_nothing_used(tmp_path: Path) -> None:
    keeper = LeaseKeeper(f"sqlite:///{tmp_path / 'no.db'}")
    asked = Demand(Counter(Limit("tokens", "minute", 100), "key", "key_1", "").id, 100, 0, 0, 100, 0, 60)
    reply = await keeper.report(Report("replica-1", 1, (asked,)))
    assert [grant.added for grant in reply.grants.values()] == [100]
    await keeper._store.close()


async def rename(store: Store, before: str, after: str) -> None:
    async with store.writing() as connection:
        await connection.execute(text(f"ALTER TABLE {before} RENAME TO {after}"))


async def test_a_budget_is_asked_for_until_the_ledger_answers(used: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_actor, "_AGAIN_S", 0.05)
    await rename(used, "usage_periods", "away")
    keeper = LeaseKeeper(used.url.render_as_string(hide_password=False))
    reply = await keeper.report(Report("replica-1", 1, (demand(0, None, 71),)))
    assert [(grant.added, grant.gone) for grant in reply.grants.values()] == [(0, None)]
    await rename(used, "away", "usage_periods")
    await asyncio.wait_for(keeper._reading, 10)  # type: ignore[arg-type]
    reply = await keeper.report(Report("replica-1", 2, (demand(0, None, 71),)))
    assert [(grant.added, grant.gone) for grant in reply.grants.values()] == [(0, 30)]
    await keeper._store.close()


async def test_a_thousand_projects_at_once_are_answered_by_one_report(store: Store) -> None:
    rows = [
        replace(a_row("model-a", NOW), key_id=f"key_{place}", project_id=f"proj_{place % 1000}", id=new_id())
        for place in range(5_000)
    ]
    await write(store, Batch("gateway-1", rows, [], {}))
    limit = Limit("cost", "month", 20)
    counters = [Counter(limit, "project", f"proj_{number}", MONTH).id for number in range(1000)]
    assert await used_by_all(store, counters) == dict.fromkeys(counters, 2.5)


@pytest.mark.parametrize("period", [DAY, MONTH, ""])
async def test_what_was_asked_of_an_alias_counts_for_the_alias(store: Store, period: str) -> None:
    row = replace(a_row("model-a", time.time()), model_asked="support")
    await write(store, Batch("gateway-1", [row], [], {}))
    per: Per = "minute" if not period else "day" if period == DAY else "month"
    for pattern, expected in (("support", 15), ("model-a", 15), ("*", 15), ("model-b", 0)):
        limit = Limit("tokens", per, 100, model=pattern)
        assert await used_so_far(store, Counter(limit, "key", "key_1", period).id) == expected


async def test_a_row_that_makes_place_for_another_is_taken_from_its_day_and_month(store: Store) -> None:
    row = a_row("model-a", NOW)
    lost = replace(row, error_code=LOST, completion_tokens=2)
    await write(store, Batch("gateway-2", [lost], [], {}))
    await write(store, Batch("gateway-1", [row], [], {}))
    for period, per in ((DAY, "day"), (MONTH, "month")):
        assert await used_so_far(store, Counter(Limit("tokens", per, 1), "key", "key_1", period).id) == 15


async def test_a_ledger_of_before_knows_what_its_month_has_used(store: Store) -> None:
    await write(store, Batch("gateway-1", [a_row("model-a", NOW), a_row("model-b", NOW)], [], {}))
    async with store.writing() as connection:
        await connection.execute(text("DROP TABLE usage_periods"))
        await connection.execute(text("CREATE INDEX usage_of_project ON usage_hours (project_id, hour)"))
        await connection.execute(text(f"UPDATE alembic_version SET version_num = '{BEFORE}'"))
    await store.migrate()
    for owner, owner_id in (("key", "key_1"), ("project", "default")):
        assert await used_so_far(store, Counter(Limit("tokens", "month", 1), owner, owner_id, MONTH).id) == 30
