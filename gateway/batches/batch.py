"""The life of one batch, from where its record says that it is, to its end."""

import asyncio
import time
from dataclasses import dataclass
from functools import partial

import structlog

from gateway.batches.idleness import Lanes
from gateway.batches.output import write_errors, write_output
from gateway.batches.owner import KEY_GONE, KeyGone, Owner
from gateway.batches.recorder import patiently
from gateway.batches.validation import validate
from gateway.batches.work import Work
from gateway.request.services import Services
from objects.batch_progress import Written, end_batch, fail_batch, finalize_batch, start_batch
from objects.batches import Batch, Mistake, read_batch
from objects.errors import Deposed, NoSuchObject, ObjectError
from objects.runner import Office
from objects.states import Ended

log = structlog.get_logger("raygate.batches")

_NO_INPUT = Mistake("invalid_input_file", "The input file is gone.", "input_file_id")
_NOT_WRITTEN = Mistake("storage_failed", "The batch's files could not be written.")


@dataclass(frozen=True)
class Run:
    """What every batch needs while this replica holds the office."""

    services: Services
    office: Office
    lanes: Lanes


async def run_batch(run: Run, batch: Batch, cancelled: asyncio.Event) -> None:
    """Bring a batch to its end.

    Args:
        run: what it needs.
        batch: as it was found; it may have been run before, by a replica that has died.
        cancelled: set when its owner wants it to end.

    Raises:
        Exception: whatever keeps it from going on now; it can be run again.
    """
    log.info("batch", batch=batch.id, status=batch.status)
    if batch.status == "validating":
        batch = await _validated(run, batch, cancelled)
    if batch.status == "cancelling":
        cancelled.set()
    if batch.status == "failed":
        return
    if batch.in_progress_at is None:  # nobody has waited for the end of its validation
        await _end(run, batch, cancelled, _over(batch, cancelled) or "cancelled", [])
        return
    work = Work(run.services, run.office, run.lanes, batch, cancelled, Owner(run.services.access, batch.key))
    try:
        ended = await work.run()
    except Exception as error:
        over = _over(batch, cancelled)
        if over is None:
            raise
        log.exception("batch ends before its work", batch=batch.id, error=type(error).__name__)
        ended = over
    await finalize_batch(run.office, batch)
    await _end(run, batch, cancelled, ended, [work.failure] if work.failure else [])


def _is_over(owner: Owner, batch: Batch, cancelled: asyncio.Event) -> bool:
    """Say whether there is no use in going on with a look at the input."""
    return owner.is_gone() or _over(batch, cancelled) is not None


def _over(batch: Batch, cancelled: asyncio.Event) -> Ended | None:
    """Say how a batch is to end whatever becomes of it, if it is."""
    if cancelled.is_set():
        return "cancelled"
    return "expired" if time.time() >= batch.expires_at else None


async def _end(run: Run, batch: Batch, cancelled: asyncio.Event, ended: Ended, mistakes: list[Mistake]) -> None:
    """Write a batch's files, and end it; one that is over ends without a file that cannot be written."""
    written: list[Written] = []
    try:
        try:
            output = await write_output(run.services, batch)
            written += [output] if output else []
            errors = await write_errors(run.services, batch, ended)
            written += [errors] if errors else []
        except ObjectError as error:
            over = _over(batch, cancelled)
            if over is None or isinstance(error, Deposed):
                raise
            log.warning("batch ends without its files", batch=batch.id, error=type(error).__name__)
            ended, mistakes, output, errors = over, [*mistakes, _NOT_WRITTEN], None, None
        await patiently(lambda: end_batch(run.office, batch, ended, output=output, errors=errors, mistakes=mistakes))
        log.info("batch", batch=batch.id, status=ended)
    finally:
        # Those that are visible now stay.
        for file in written:
            await asyncio.shield(run.services.files.discard(file.id))


async def _validated(run: Run, batch: Batch, cancelled: asyncio.Event) -> Batch:
    """Return the batch as it is after a look at its input: in progress, failed, or cancelled meanwhile."""
    services, owner = run.services, Owner(run.services.access, batch.key)
    findings = None
    try:
        while findings is None and _over(batch, cancelled) is None:  # again where the key has got another secret
            key = await patiently(owner.key)
            is_over = partial(_is_over, owner, batch, cancelled)
            findings = await validate(services, key, batch, is_over)
    except KeyGone:
        await fail_batch(run.office, batch, [KEY_GONE])
    except NoSuchObject:
        await fail_batch(run.office, batch, [_NO_INPUT])
    else:
        if findings is None:
            pass
        elif findings.mistakes:
            await fail_batch(run.office, batch, findings.mistakes)
        else:
            await start_batch(run.office, batch, total=findings.total, model=findings.model)
    return await read_batch(services.access.store, batch.project, batch.id)
