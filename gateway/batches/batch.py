"""The life of one batch, from where its record says that it is, to its end."""

import asyncio
from dataclasses import dataclass

import structlog

from gateway.batches.idleness import Lanes
from gateway.batches.output import write_errors, write_output
from gateway.batches.owner import KEY_GONE, KeyGone, Owner
from gateway.batches.recorder import patiently
from gateway.batches.validation import validate
from gateway.batches.work import Work
from gateway.request.services import Services
from objects.batch_progress import end_batch, fail_batch, finalize_batch, start_batch
from objects.batches import Batch, Mistake, read_batch
from objects.errors import NoSuchObject
from objects.runner import Office

log = structlog.get_logger("raygate.batches")

_NO_INPUT = Mistake("invalid_input_file", "The input file is gone.", "input_file_id")


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
        batch = await _validated(run, batch)
    if batch.status == "cancelling":
        cancelled.set()
    if batch.status == "failed":
        return
    work = Work(run.services, run.office, run.lanes, batch, cancelled, Owner(run.services.access, batch.key))
    ended = await work.run()
    await finalize_batch(run.office, batch)
    output = await write_output(run.services, batch)
    errors = await write_errors(run.services, batch, ended)
    mistakes = [work.failure] if work.failure else []
    await patiently(lambda: end_batch(run.office, batch, ended, output=output, errors=errors, mistakes=mistakes))
    log.info("batch", batch=batch.id, status=ended)


async def _validated(run: Run, batch: Batch) -> Batch:
    """Return the batch as it is after a look at its input: in progress, failed, or cancelled meanwhile."""
    services = run.services
    try:
        key = await patiently(Owner(services.access, batch.key).key)
        findings = await validate(services, key, batch)
    except KeyGone:
        await fail_batch(run.office, batch, [KEY_GONE])
    except NoSuchObject:
        await fail_batch(run.office, batch, [_NO_INPUT])
    else:
        if findings.mistakes:
            await fail_batch(run.office, batch, findings.mistakes)
        else:
            await start_batch(run.office, batch, total=findings.total, model=findings.model)
    return await read_batch(services.access.store, batch.project, batch.id)
