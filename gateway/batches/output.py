"""Writes a batch's two files: what succeeded, and what did not."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterable

from gateway.batches.lines import custom_id_of
from gateway.batches.results import CANCELLED, EXPIRED, FAILED, unanswered
from gateway.batches.validation import numbered_lines
from gateway.request.services import Services
from objects.batch_progress import Written, claims_of, results_of
from objects.batches import Batch
from objects.states import Ended
from objects.storage import PIECE_BYTES

_REASONS: dict[Ended, tuple[str, str]] = {"expired": EXPIRED, "cancelled": CANCELLED, "failed": FAILED}
"""Why lines never ran, by how their batch has ended."""


async def write_output(services: Services, batch: Batch) -> Written | None:
    """Write the file of what succeeded; ``None`` when nothing did."""
    return await _written(services, batch, "output", results_of(services.files.store, batch, succeeded=True))


async def write_errors(services: Services, batch: Batch, ended: Ended) -> Written | None:
    """Write the file of what failed or never ran; ``None`` when all is well."""
    failed = results_of(services.files.store, batch, succeeded=False)
    lines = failed if ended == "completed" else _with_unanswered(services, batch, ended, failed)
    return await _written(services, batch, "error", lines)


async def _with_unanswered(
    services: Services, batch: Batch, ended: Ended, failed: AsyncGenerator[str, None]
) -> AsyncGenerator[str, None]:
    async for line in failed:
        yield line
    claims = await claims_of(services.files.store, batch)
    async with contextlib.aclosing(numbered_lines(services, batch)) as lines:
        async for number, raw in lines:
            is_too_many = batch.in_progress_at is None and number > services.settings.batches.max_lines
            if not is_too_many and (number not in claims or not claims[number].is_done):
                # The configuration may have become stricter since the line was found right: only its name counts.
                yield unanswered(batch, number, custom_id_of(raw), _REASONS[ended])


async def _written(services: Services, batch: Batch, kind: str, lines: AsyncIterable[str]) -> Written | None:
    piece = bytearray()
    # Results count towards the quota, but are not thrown away for it.
    async with services.files.adding(batch.project, bounded=False) as (new, write):
        async for line in lines:
            piece += line.encode() + b"\n"
            if len(piece) >= PIECE_BYTES:
                await write(bytes(piece))
                piece.clear()
        if piece:
            await write(bytes(piece))
    if not new.size:
        await services.files.discard(new.id)
        return None
    return Written(new.id, f"{batch.id}_{kind}.jsonl", new.size)
