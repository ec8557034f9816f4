"""One row, or one entry of the journal, that is not as it should be keeps no other waiting."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import insert, select

from auth.access import Access
from auth.ledger import Ledger
from auth.ledger_tables import GatewayRow, InflightRow, RefusedRow
from auth.limiter import OwnLeases
from auth.open_request import OpenRequest
from auth.store import Store
from auth.usage import Usage
from tests.unit.auth.test_ledger import a_row, reap, rows_in, total

TOO_LARGE = 2**70


@pytest.fixture
async def ledger(store: Store) -> AsyncIterator[Ledger]:
    ledger = Ledger(store, gateway="gateway-1")  # which writes when it is told
    yield ledger


async def refused(store: Store) -> list[str]:
    async with store.reading() as connection:
        return list((await connection.execute(select(RefusedRow.id))).scalars())


async def test_a_row_that_the_database_refuses_is_set_aside_and_the_others_are_written(
    store: Store, ledger: Ledger
) -> None:
    rows = [a_row(request_id=f"req-{number}", prompt_tokens=5) for number in range(9)]
    rows[4].prompt_tokens = TOO_LARGE
    for row in rows:
        ledger.record(row)
    await ledger.flush()
    assert [row.id for row in await rows_in(store)] == sorted(row.id for row in rows if row is not rows[4])
    assert (await total(store)).prompt_tokens == 8 * 5
    assert await refused(store) == [rows[4].id]
    assert (ledger.set_aside, ledger.held_rows) == (1, 0)


async def test_an_open_request_that_the_journal_refuses_keeps_no_row_waiting(store: Store, ledger: Ledger) -> None:
    opened = a_row(request_id="open")
    ledger.begin(opened)
    ledger.follow(opened.id, lambda: TOO_LARGE)
    ledger.record(a_row())
    await ledger.flush()
    assert len(await rows_in(store)) == 1


async def test_readiness_tells_of_rows_that_were_set_aside(store: Store, database_url: str) -> None:
    access = await Access.open(database_url, OwnLeases(), replica="gateway-1")
    access.ledger.record(a_row(prompt_tokens=TOO_LARGE))
    await access.ledger.flush()
    assert ["refused_rows" in reason for reason in access.degraded] == [True]
    await access.close()


async def test_an_entry_of_the_journal_that_cannot_be_read_keeps_no_other_from_being_found(store: Store) -> None:
    found = a_row(request_id="found")
    entries = [("1", "no JSON"), ("2", '{"of": "another form"}'), (found.id, OpenRequest(found).dump())]
    async with store.writing() as connection:
        await connection.execute(insert(GatewayRow), [{"id": "dead", "beat": 1}])
        journal = [{"id": id_, "gateway": "dead", "row": row, "completion_tokens": 1} for id_, row in entries]
        await connection.execute(insert(InflightRow), journal)
    await reap(store)
    assert [row.request_id for row in await rows_in(store)] == ["found"]


async def test_an_engine_that_cannot_be_asked_leaves_what_the_journal_says(store: Store) -> None:
    async def broken(row: object) -> Usage:
        raise ConnectionError

    lost = a_row(request_id="lost")
    async with store.writing() as connection:
        await connection.execute(insert(GatewayRow), [{"id": "dead", "beat": 1}])
        entry = {"id": lost.id, "gateway": "dead", "row": OpenRequest(lost).dump(), "completion_tokens": 7}
        await connection.execute(insert(InflightRow), [entry])
    await reap(store, broken)
    assert [row.completion_tokens for row in await rows_in(store)] == [7]
