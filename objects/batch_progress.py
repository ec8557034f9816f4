"""How a batch moves on: written by whoever holds the office, and by nobody else."""

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.ledger_row import new_id
from auth.store import Store
from auth.usage import NOTHING, Usage
from objects.batch_tables import BatchLineRow, BatchRow
from objects.batches import Batch, Mistake, dump_mistakes
from objects.files import finish
from objects.runner import Office
from objects.states import ACTIVE, Ended, State

_PAGE = 256


@dataclass(frozen=True, slots=True)
class Claim:
    """A line that somebody has begun, or is about to.

    Attributes:
        ledger_id: the id of its row in the ledger: a line that runs again after a crash is not charged again.
        is_done: whether its result is stored.
    """

    ledger_id: str
    is_done: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What a line has come to.

    Attributes:
        number: the line's, from 1.
        succeeded: which file it belongs to.
        line: the line of that file.
        usage: what it used.
    """

    number: int
    succeeded: bool
    line: str
    usage: Usage = NOTHING


@dataclass(frozen=True, slots=True)
class Written:
    """A file that holds a batch's results; ``id`` is that of a file begun and stored, which nobody sees yet."""

    id: str
    filename: str
    size: int


async def start_batch(office: Office, batch: Batch, *, total: int, model: str | None) -> None:
    """A batch's input is right: its lines may run."""
    values = {"status": "in_progress", "in_progress_at": time.time(), "total": total, "model": model}
    async with office.writing() as connection:
        await _move(connection, batch, ("validating",), values)


async def fail_batch(office: Office, batch: Batch, mistakes: Sequence[Mistake]) -> None:
    """A batch is not right: it ends before any line has run."""
    values = {"status": "failed", "ended_at": time.time(), "errors": dump_mistakes(mistakes)}
    async with office.writing() as connection:
        await _move(connection, batch, ("validating",), values)


async def tell_waits(office: Office, batch: Batch, reasons: Sequence[Mistake]) -> None:
    """Tell why lines of a batch wait; without reasons none does."""
    async with office.writing() as connection:
        values = {"errors": dump_mistakes(reasons) if reasons else None}
        await _move(connection, batch, ("in_progress", "cancelling"), values)


async def finalize_batch(office: Office, batch: Batch) -> None:
    """No line of a batch is to run any more: its files are being written. One that is cancelled stays so until then."""
    async with office.writing() as connection:
        await _move(connection, batch, ("in_progress",), {"status": "finalizing", "finalizing_at": time.time()})


async def end_batch(
    office: Office,
    batch: Batch,
    status: Ended,
    *,
    output: Written | None,
    errors: Written | None,
    mistakes: Sequence[Mistake] = (),
) -> None:
    """A batch has ended: its files are seen, and its lines are kept no longer."""
    async with office.writing() as connection:
        for written in filter(None, (output, errors)):
            await finish(
                connection,
                written.id,
                filename=written.filename,
                purpose="batch_output",
                size=written.size,
                expires_after_s=batch.output_expires_after_s,
            )
        values = {
            "status": status,
            "ended_at": time.time(),
            "output_file_id": output.id if output else None,
            "error_file_id": errors.id if errors else None,
            "errors": dump_mistakes(mistakes) if mistakes else None,
        }
        await _move(connection, batch, ACTIVE, values)
        await connection.execute(delete(BatchLineRow).where(BatchLineRow.batch_id == batch.id))


async def claims_of(store: Store, batch: Batch) -> dict[int, Claim]:
    """Return the lines that have been begun so far, by number."""
    columns = (BatchLineRow.number, BatchLineRow.ledger_id, BatchLineRow.succeeded)
    async with store.reading() as connection:
        rows = await connection.execute(select(*columns).where(BatchLineRow.batch_id == batch.id))
        return {number: Claim(ledger_id, succeeded is not None) for number, ledger_id, succeeded in rows}


async def claim_lines(office: Office, batch: Batch, numbers: Sequence[int]) -> dict[int, Claim]:
    """Give lines their ids in the ledger, before they run."""
    claims = {number: Claim(new_id()) for number in numbers}
    rows = [{"batch_id": batch.id, "number": number, "ledger_id": claim.ledger_id} for number, claim in claims.items()]
    async with office.writing() as connection:
        await connection.execute(insert(BatchLineRow), rows)
    return claims


async def claim_again(office: Office, batch: Batch, number: int) -> Claim:
    """Give a line another id in the ledger, where an attempt of no cost has used up the first."""
    claim = Claim(new_id())
    again = update(BatchLineRow).where(BatchLineRow.batch_id == batch.id, BatchLineRow.number == number)
    async with office.writing() as connection:
        await connection.execute(again.values(ledger_id=claim.ledger_id))
    return claim


async def store_results(office: Office, batch: Batch, results: Sequence[Result]) -> None:
    """Store what lines have come to, and count them: both or neither. Doing it again changes nothing."""
    async with office.writing() as connection:
        new = [result for result in results if await _store(connection, batch, result)]
        completed = sum(result.succeeded for result in new)
        counts = {
            BatchRow.completed: BatchRow.completed + completed,
            BatchRow.failed: BatchRow.failed + len(new) - completed,
            BatchRow.prompt_tokens: BatchRow.prompt_tokens + sum(result.usage.prompt_tokens for result in new),
            BatchRow.cached_tokens: BatchRow.cached_tokens + sum(result.usage.cached_tokens for result in new),
            BatchRow.completion_tokens: BatchRow.completion_tokens
            + sum(result.usage.completion_tokens for result in new),
        }
        await connection.execute(update(BatchRow).where(BatchRow.id == batch.id).values(counts))


async def _store(connection: AsyncConnection, batch: Batch, result: Result) -> bool:
    """Store a line's result; say whether it had none before."""
    of = update(BatchLineRow).where(BatchLineRow.batch_id == batch.id, BatchLineRow.number == result.number)
    lacking = of.where(BatchLineRow.succeeded.is_(None))
    stored = await connection.execute(lacking.values(succeeded=result.succeeded, result=result.line))
    return stored.rowcount == 1


async def results_of(store: Store, batch: Batch, *, succeeded: bool) -> AsyncGenerator[str, None]:
    """Yield the lines of one of a batch's files, in the order of its input."""
    last = 0
    while True:
        query = select(BatchLineRow.number, BatchLineRow.result).where(
            BatchLineRow.batch_id == batch.id, BatchLineRow.succeeded.is_(succeeded), BatchLineRow.number > last
        )
        async with store.reading() as connection:
            rows = (await connection.execute(query.order_by(BatchLineRow.number).limit(_PAGE))).all()
        for number, line in rows:
            yield line or ""
            last = number
        if len(rows) < _PAGE:
            return


async def _move(connection: AsyncConnection, batch: Batch, before: Sequence[State], values: Mapping[str, Any]) -> None:
    """Change a batch that is in one of the states ``before``; a client may have moved it meanwhile."""
    of = update(BatchRow).where(BatchRow.id == batch.id, BatchRow.status.in_(before))
    await connection.execute(of.values(**values))
