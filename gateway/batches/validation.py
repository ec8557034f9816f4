"""Looks at every line of a batch's input before any of them runs."""

import asyncio
import codecs
import contextlib
import hashlib
import math
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from functools import partial

from auth.keys import Key, may_use
from gateway.batches.lines import ENVELOPE_BYTES, Line, parse_line
from gateway.http import errors
from gateway.request.services import Services
from objects.batches import Batch, Mistake

MAX_MISTAKES = 100
"""As many are told; a file with more is not the file that was meant."""

_AT_ONCE = 8
"""Lines that are parsed in one go: the gateway's other requests wait meanwhile."""


_LONG_BYTES = 64 * 1024
"""Longer lines are parsed in a thread."""


@dataclass
class Findings:
    """What a batch's input holds.

    Attributes:
        total: its lines, blank ones left out.
        models: the names that they ask for.
        mistakes: what is wrong with it.
    """

    total: int = 0
    models: set[str] = field(default_factory=set)
    mistakes: list[Mistake] = field(default_factory=list)

    @property
    def model(self) -> str | None:
        """The model that all lines ask for."""
        return next(iter(self.models)) if len(self.models) == 1 else None


async def numbered_lines(services: Services, batch: Batch) -> AsyncGenerator[tuple[int, bytes | None], None]:
    """Yield the lines of a batch's input with their numbers from 1, without the blank ones.

    ``None`` stands for a line that is too long. Of an input that has not been found right, no more than the first line
    too many is looked at, blank ones counted: ``None`` stands for it as well.
    """
    most = services.settings.batches.max_lines if batch.in_progress_at is None else math.inf
    longest = services.settings.bounds.max_body_bytes + ENVELOPE_BYTES
    number = 0
    async with contextlib.aclosing(services.files.storage.lines(batch.input_file_id, longest)) as lines:
        async for line in lines:
            number += 1
            raw = line.removeprefix(codecs.BOM_UTF8) if line and number == 1 else line
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            if number > most:
                yield number, None
                return
            if raw is None or raw.strip():
                yield number, raw


async def validate(services: Services, key: Key, batch: Batch, is_over: Callable[[], bool]) -> Findings | None:
    """Return what the input of a batch holds; ``None`` as soon as ``is_over`` says that nobody wants to know.

    Raises:
        ObjectError: it cannot be read.
    """
    most = services.settings.batches.max_lines
    findings, known, inputs = Findings(), set[bytes](), 0
    async with contextlib.aclosing(numbered_lines(services, batch)) as lines:
        async for number, raw in lines:
            if is_over():
                return None
            findings.total += 1
            if number > most:
                findings.mistakes.append(Mistake("too_many_lines", f"A batch has {most} lines at most."))
            if len(findings.mistakes) >= MAX_MISTAKES or number > most:
                return findings
            try:
                if raw is not None and len(raw) > _LONG_BYTES:
                    line = await asyncio.to_thread(_right, services, key, batch, raw)
                else:
                    line = _right(services, key, batch, raw)
            except errors.ApiError as error:
                findings.mistakes.append(mistake_of(error, number))
                continue
            # Half a digest of each is enough to tell them apart, and as large as the longest name is short.
            digest = hashlib.sha256(line.custom_id.encode()).digest()[:16]
            if digest in known:
                message = "Another line has the same 'custom_id'."
                findings.mistakes.append(Mistake("duplicate_custom_id", message, "custom_id", number))
            known.add(digest)
            findings.models.add(services.models.asked_for(line.model))
            inputs += line.inputs
    if inputs > most:
        findings.mistakes.append(Mistake("too_many_inputs", f"A batch embeds {most} inputs at most."))
    if not findings.total:
        findings.mistakes.append(Mistake("empty_file", "The input file has no lines."))
    return findings


def mistake_of(error: errors.ApiError, number: int | None = None) -> Mistake:
    """Return an error as a batch tells it."""
    return Mistake(error.code or error.type, error.message, error.param, number)


def _right(services: Services, key: Key, batch: Batch, raw: bytes | None) -> Line:
    bounds = services.settings.bounds
    if raw is None:
        raise errors.too_large(bounds.max_body_bytes)
    line = parse_line(raw, batch.endpoint, bounds, services.settings.unknown_fields)
    try:
        asked = services.models.asked_for(line.model)
        services.models.candidates(asked, partial(may_use, key), batch.endpoint)
    except errors.ApiError as error:
        raise errors.within("body", error) from None
    return line
