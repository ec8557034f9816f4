"""Rows that wait when a gateway stops while the database is away: nothing is lost, and nothing is written twice."""

import asyncio
import contextlib
import json
import shutil
import stat
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from auth.access import Access
from auth.late_rows import LateRows
from auth.ledger import Ledger
from auth.ledger_check import sums
from auth.ledger_row import LedgerRow
from auth.ledger_tables import RefusedRow
from auth.limiter import OwnLeases
from auth.store import Store
from tests.unit.auth.test_ledger import a_row, journal, reap, rows_in, total
from tests.unit.auth.test_snapshot import eventually

Away = Callable[[], contextlib.AbstractAsyncContextManager[None]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "ledger"


@pytest.fixture
def away(store: Store, request: pytest.FixtureRequest) -> Away:
    """Return a way to take the database away for a while."""
    server = None if store.is_sqlite else request.getfixturevalue("postgres")
    path = Path(str(store.url.database))
    aside = path.with_suffix(".away")

    @contextlib.asynccontextmanager
    async def taken_away() -> AsyncGenerator[None]:
        await store.close()
        server.stop() if server else path.rename(aside)
        yield
        await store.close()
        server.start() if server else aside.replace(path)

    return taken_away


async def stop_with(rows: list[LedgerRow], store: Store, folder: Path) -> None:
    """Let a gateway end that has these rows, and can say nothing to the database."""
    ledger = await Ledger.open(store, gateway="gateway-1", late_rows=LateRows(folder))
    for row in rows:
        ledger.record(row)
    await ledger.close()


async def start(store: Store, folder: Path, gateway: str = "gateway-2") -> Ledger:
    return await Ledger.open(store, gateway=gateway, late_rows=LateRows(folder))


async def refused(store: Store) -> list[str]:
    async with store.reading() as connection:
        return list((await connection.execute(select(RefusedRow.row))).scalars())


async def test_what_waits_at_a_stop_is_in_the_ledger_when_the_next_start_is_over(
    store: Store, folder: Path, away: Away
) -> None:
    rows = [a_row(request_id=f"req-{number}", completion_tokens=5, metadata={"trace": "abc"}) for number in range(1200)]
    async with away():
        await stop_with(rows, store, folder)
    ledger = await start(store, folder)
    assert [dict(stored._mapping) for stored in await rows_in(store)] == [row.columns() for row in rows]
    assert (await total(store)).completion_tokens == 6000
    assert list(folder.iterdir()) == []
    await ledger.close()


async def test_a_gateway_that_runs_takes_up_what_another_leaves(store: Store, folder: Path, away: Away) -> None:
    living = await start(store, folder)
    async with away():
        await stop_with([a_row(completion_tokens=5)], store, folder)
    await eventually(lambda: not list(folder.iterdir()), within_s=10)
    assert (await total(store)).completion_tokens == 5
    await living.close()


async def test_rows_that_were_written_before_the_answer_was_lost_are_not_written_again(
    store: Store, folder: Path
) -> None:
    rows = [a_row(completion_tokens=5), a_row(completion_tokens=6)]
    ledger = await Ledger.open(store, gateway="gateway-1")
    ledger.record(rows[0])
    await ledger.close()
    LateRows(folder).keep(rows)
    await (await start(store, folder)).close()
    assert (await total(store)).completion_tokens == 11


async def test_two_gateways_that_start_at_once_write_each_row_once(store: Store, folder: Path) -> None:
    LateRows(folder).keep([a_row(completion_tokens=1) for _ in range(1200)])
    ledgers = await asyncio.gather(*(start(store, folder, name) for name in ("one", "two")))
    await eventually(lambda: not list(folder.iterdir()), within_s=10)
    await asyncio.gather(*(ledger.close() for ledger in ledgers))
    assert (await total(store)).completion_tokens == 1200
    assert len(set(await sums(store))) == 1


async def test_a_file_that_comes_back_changes_nothing(store: Store, folder: Path, tmp_path: Path) -> None:
    LateRows(folder).keep([a_row(completion_tokens=5)])
    shutil.copytree(folder, tmp_path / "copy")
    await (await start(store, folder)).close()
    await (await start(store, tmp_path / "copy")).close()
    assert (await total(store)).completion_tokens == 5


async def test_the_truth_from_disk_replaces_what_was_taken_for_lost(store: Store, folder: Path, away: Away) -> None:
    dying = Ledger(store, "gateway-1", late_rows=LateRows(folder))
    row = a_row(status=0, prompt_tokens=7)
    dying.begin(row)
    await journal(dying)
    async with away():
        await stop_with([a_row(id=row.id, created_at=row.created_at, completion_tokens=9)], store, folder)
    await reap(store)
    await (await start(store, folder)).close()
    assert [(stored.status, stored.completion_tokens) for stored in await rows_in(store)] == [(200, 9)]
    assert (await total(store)).errors == 0


BROKEN = {
    "half a line": b'{"request_id": "req-1", "key_',
    "no text": b"\xff\xfe\x00\n",
    "no object": b"[1, 2]\n",
    "no row": b'{"id": "1"}\n',
    "deep": b"[" * 100_000 + b"\n",
    "nothing": b"\n",
}


@pytest.mark.parametrize("line", BROKEN.values(), ids=BROKEN)
async def test_a_line_that_is_no_row_is_set_aside_and_the_others_are_written(
    store: Store, folder: Path, database_url: str, line: bytes
) -> None:
    LateRows(folder).keep([a_row(completion_tokens=5)])
    LateRows(folder).keep([a_row(completion_tokens=6)])
    with min(folder.iterdir()).open("ab") as file:
        file.write(line)
    access = await Access.open(database_url, OwnLeases(), replica="gateway-2", late_rows=LateRows(folder))
    assert (await total(store)).completion_tokens == 11
    assert len(await refused(store)) == access.ledger.set_aside == 1
    assert ["refused_rows" in reason for reason in access.degraded] == [True]
    await access.close()


@pytest.mark.parametrize(
    "fields",
    [
        {"completion_tokens": 2**70},
        {"completion_tokens": "many"},
        {"created_at": float("inf")},
        {"created_at": float("nan")},
        {"id": "x" * 33},
        {"id": ""},
        {"metadata": "no mapping"},
        {"status": None},
    ],
    ids=str,
)
async def test_a_row_that_cannot_be_is_set_aside_and_the_others_are_written(
    store: Store, folder: Path, fields: dict[str, object]
) -> None:
    late = LateRows(folder)
    late.keep([a_row(completion_tokens=5)])
    odd = {**a_row().columns(), **fields}
    [path] = folder.iterdir()
    with path.open("a") as file:
        file.write(json.dumps(odd) + "\n")
    late.keep([a_row(completion_tokens=6)])
    await (await start(store, folder)).close()
    assert (await total(store)).completion_tokens == 11
    assert len(await refused(store)) == 1


async def test_what_is_kept_is_readable_by_its_owner_alone(folder: Path) -> None:
    LateRows(folder).keep([a_row()])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()] == [0o600]


async def test_what_is_kept_has_a_bound_over_all_stops(folder: Path) -> None:
    late = LateRows(folder, max_bytes=2_000)
    assert 0 < late.keep([a_row() for _ in range(10)]) < 10
    assert late.keep([a_row() for _ in range(10)]) == 0
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 2_000


async def test_a_file_that_cannot_be_opened_keeps_no_other_waiting(store: Store, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "0.rows").mkdir()
    LateRows(folder).keep([a_row(completion_tokens=5)])
    ledger = await start(store, folder)
    assert (await total(store)).completion_tokens == 5
    assert ledger.degraded is None
    await ledger.close()


async def test_a_disk_that_takes_nothing_stops_no_stop(store: Store, tmp_path: Path, away: Away) -> None:
    (tmp_path / "file").touch()
    async with away():
        await stop_with([a_row()], store, tmp_path / "file" / "ledger")
    assert await rows_in(store) == []
