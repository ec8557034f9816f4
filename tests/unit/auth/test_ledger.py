import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from auth import ledger as ledger_module
from auth.ledger import Ledger
from auth.ledger_row import MAX_METADATA_BYTES, LedgerRow
from auth.ledger_tables import InflightRow, RequestRow
from auth.ledger_write import Batch, write
from auth.reaper import CountOf, Reaper, nobody_counts
from auth.store import Store, sqlite_url
from auth.usage import NOTHING, Price, Usage
from auth.usage_report import UsageSum, usage
from tests.unit.auth.test_snapshot import eventually

NOW = time.time()


def a_row(**fields: object) -> LedgerRow:
    defaults = {"request_id": "req-1", "key_id": "key_1", "project_id": "default", "model_asked": "m", "model": "m"}
    return LedgerRow(**defaults | {"status": 200} | fields)


async def rows_in(store: Store) -> list[RequestRow]:
    async with store.reading() as connection:
        return list((await connection.execute(select(RequestRow.__table__).order_by(RequestRow.id))).all())


async def total(store: Store) -> UsageSum:
    return (await usage(store, since=NOW - 86_400, until=NOW + 86_400)).sums[0]


async def journal(ledger: Ledger) -> None:
    """Let the journal be written now, though it may not be due."""
    ledger._journaled_at = 0
    await ledger.flush()


async def reap(store: Store, count_of: CountOf = nobody_counts) -> None:
    """Let another replica find that those who write no more are dead."""
    reaper = Reaper(store, "living", count_of, silent_for_s=0.05)
    await reaper.look()
    await asyncio.sleep(0.1)
    await reaper.look()


@pytest.fixture
async def ledger(store: Store) -> AsyncIterator[Ledger]:
    ledger = await Ledger.open(store, gateway="gateway-1")
    yield ledger
    await ledger.close()


async def test_a_row_is_written_within_a_second_with_all_it_says(store: Store, ledger: Ledger) -> None:
    row = a_row(
        prompt_tokens=10,
        cached_tokens=4,
        completion_tokens=5,
        cost=0.25,
        estimated=True,
        finish_reason="stop",
        queued_s=0.1,
        ttft_s=0.2,
        total_s=0.3,
        streamed=True,
        user="somebody",
        metadata={"trace": "abc"},
        replica="r1",
        engine="echo",
    )
    ledger.record(row)
    await asyncio.sleep(0.8)
    (stored,) = await rows_in(store)
    assert dict(stored._mapping) == row.columns()
    assert await total(store) == UsageSum({}, 1, 0, 10, 4, 5, 0.25)


async def test_closing_writes_everything(store: Store) -> None:
    ledger = await Ledger.open(store, gateway="gateway-1")
    for _ in range(12_000):
        ledger.record(a_row(completion_tokens=1))
    await ledger.close()
    assert (await total(store)).completion_tokens == 12_000
    assert len(await rows_in(store)) == 12_000


async def test_a_client_that_repeats_its_request_id_still_pays(store: Store, ledger: Ledger) -> None:
    ledger.record(a_row(request_id="same"))
    ledger.record(a_row(request_id="same"))
    await ledger.flush()
    assert len(await rows_in(store)) == 2


async def test_a_batch_written_twice_counts_once(store: Store) -> None:
    batch = Batch("gateway-1", [a_row(completion_tokens=5), a_row(completion_tokens=6)], [], {})
    await write(store, batch)
    await write(store, batch)
    assert (await total(store)).completion_tokens == 11


async def test_what_a_dead_replica_had_open_is_recorded_as_lost(store: Store) -> None:
    dying = Ledger(store, "dying")
    row = a_row(prompt_tokens=7, status=0)
    dying.begin(row)
    await journal(dying)
    dying.follow(row.id, lambda: 3)
    await journal(dying)

    await reap(store)

    (stored,) = await rows_in(store)
    assert (stored.id, stored.error_code, stored.prompt_tokens, stored.completion_tokens) == (row.id, "lost", 7, 3)
    assert (await total(store)).errors == 1


async def test_a_lost_request_costs_what_its_tokens_cost_by_the_price_of_its_time(store: Store) -> None:
    dying = Ledger(store, "dying")
    row, price = a_row(prompt_tokens=2_000_000, status=0, metadata={"trace": "abc"}), Price(prompt=1, completion=10)
    dying.begin(row, price)
    await journal(dying)
    dying.follow(row.id, lambda: 300_000)
    await journal(dying)

    await reap(store)

    assert [stored.cost for stored in await rows_in(store)] == [2 + 3]
    assert await total(store) == UsageSum({}, 1, 1, 2_000_000, 0, 300_000, 2 + 3)


async def test_a_lost_request_belongs_to_the_model_that_answered_it_and_costs_its_price(store: Store) -> None:
    dying = Ledger(store, "dying")
    row = a_row(prompt_tokens=1_000_000, model="", status=0)
    dying.begin(row, Price(prompt=1))
    await journal(dying)
    dying.begin(replace(row, model="fallback", replica="r2"), Price(prompt=3))
    await journal(dying)

    await reap(store)

    (stored,) = await rows_in(store)
    assert (stored.model, stored.replica, stored.cost) == ("fallback", "r2", 3)
    (hours,) = (await usage(store, since=NOW - 86_400, until=NOW + 86_400, group_by=["model"])).sums
    assert (hours.group, hours.cost) == ({"model": "fallback"}, 3)


@pytest.mark.parametrize(
    ("counted", "charged", "estimated"),
    [
        (Usage(8, 5, 2), Usage(8, 5, 2), False),  # by the engine, exactly
        (None, Usage(7, 3), True),  # which cannot be asked: by the journal
        (NOTHING, Usage(7, 3), True),  # which has forgotten the request
        (Usage(8, 6), Usage(7, 3), True),  # which says more than it can have counted
    ],
)
async def test_of_a_lost_request_the_engine_is_asked(
    store: Store, counted: Usage | None, charged: Usage, estimated: bool
) -> None:
    async def count_of(row: LedgerRow) -> Usage | None:
        return {"r2": counted}[row.replica]

    dying = Ledger(store, "dying")
    row = a_row(prompt_tokens=7, replica="r2", status=0)
    dying.begin(row, Price(completion=1_000_000), most=Usage(100, 5))
    dying.follow(row.id, lambda: 3)
    await journal(dying)

    await reap(store, count_of)

    sums = await total(store)
    assert Usage(sums.prompt_tokens, sums.completion_tokens, sums.cached_tokens) == charged
    assert sums.cost == charged.completion_tokens
    assert [stored.estimated for stored in await rows_in(store)] == [estimated]


async def test_a_replica_whose_heart_beats_is_left_alone(store: Store, ledger: Ledger) -> None:
    ledger.begin(a_row())
    await ledger.flush()
    reaper = Reaper(store, "living", silent_for_s=1.2)
    for _ in range(4):
        await reaper.look()
        await asyncio.sleep(0.5)
    assert await rows_in(store) == []


async def test_two_replicas_record_the_dead_ones_requests_once(store: Store) -> None:
    dying = Ledger(store, "dying")
    dying.begin(a_row())
    await dying.flush()
    reapers = [Reaper(store, name, silent_for_s=0.05) for name in ("one", "two")]
    for reaper in reapers:
        await reaper.look()
    await asyncio.sleep(0.1)
    await asyncio.gather(*(reaper.look() for reaper in reapers))
    assert len(await rows_in(store)) == 1


async def test_the_truth_replaces_a_row_that_was_taken_for_lost(store: Store) -> None:
    slow = Ledger(store, "slow")
    row = a_row(prompt_tokens=7, status=0)
    slow.begin(row)
    await slow.flush()
    await reap(store)

    slow.record(replace(row, status=200, completion_tokens=9))
    await slow.flush()

    assert [stored.status for stored in await rows_in(store)] == [200]
    assert await total(store) == UsageSum({}, 1, 0, 7, 0, 9, 0.0)


async def test_a_finished_request_leaves_the_journal(store: Store, ledger: Ledger) -> None:
    row = a_row()
    ledger.begin(row)
    await asyncio.sleep(0.8)
    ledger.record(row)
    await ledger.flush()
    async with store.reading() as connection:
        assert (await connection.execute(select(InflightRow))).all() == []


async def test_rows_wait_while_the_database_is_away(tmp_path: Path) -> None:
    store = Store(sqlite_url(tmp_path))
    await store.migrate()
    ledger = await Ledger.open(store, gateway="gateway-1")
    await store.close()
    (tmp_path / "raygate.db").rename(tmp_path / "away.db")
    ledger.record(a_row(completion_tokens=5))
    await eventually(lambda: ledger.degraded is not None, within_s=3)
    await store.close()
    (tmp_path / "away.db").replace(tmp_path / "raygate.db")
    await eventually(lambda: ledger.degraded is None, within_s=5)
    await ledger.close()
    assert (await total(store)).completion_tokens == 5
    await store.close()


async def test_a_full_ledger_drops_the_newest_and_counts_them(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "MAX_HELD_ROWS", 10)
    ledger = Ledger(store, "gateway-1")
    for _ in range(15):
        ledger.record(a_row())
    assert (ledger.held_rows, ledger.dropped) == (10, 5)


@pytest.mark.parametrize(
    "fields",
    [
        {"user": "x" * 1_000_000},
        {"user": "nul\x00and\x1b[31mescape"},
        {"user": "half a pair \ud800"},
        {"user": 'one line\n{"level":"info","event":"forged"}\r\n'},
        {"user": "'; DROP TABLE requests; --"},
        {"metadata": {"k": "v" * 1_000_000}},
        {"metadata": {"k": "\x00"}},
        {"metadata": {"k": "\ud800"}},
        {"request_id": "r" * 500},
        {"model_asked": "m" * 500},
        {"model_asked": "m\x00"},
    ],
)
async def test_whatever_the_client_says_the_row_is_stored(
    store: Store, ledger: Ledger, fields: dict[str, object]
) -> None:
    ledger.record(a_row(**fields))
    await ledger.flush()
    (stored,) = await rows_in(store)
    assert len(stored.user or "") <= 256
    assert len(stored.metadata or "") <= MAX_METADATA_BYTES
    assert (stored.user or "").isprintable()


async def test_texts_of_any_length_and_signs_become_a_row(store: Store, ledger: Ledger) -> None:
    odd = "x\0\ud800" * 500
    names = ("request_id", "key_id", "project_id", "model_asked", "model", "replica", "engine", "user")
    ledger.record(a_row(**dict.fromkeys((*names, "error_code", "finish_reason"), odd)))
    await ledger.flush()
    (stored,) = await rows_in(store)
    assert len(stored.finish_reason) == 32
    assert len(stored.error_code) == 64
