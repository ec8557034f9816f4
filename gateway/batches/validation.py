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
"""Lines that are passed on in one go: the gateway's other requests wait meanwhile."""

_STEP_LINES, _STEP_BYTES = 128, 64 * 1024
"""Lines that are looked at in one go, in a thread; one line alone may be longer. Between two steps a batch can end."""

_Numbered = tuple[int, bytes | None]


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


async def numbered_lines(services: Services, batch: Batch) -> AsyncGenerator[_Numbered, None]:
    """Yield the lines of a batch's input with their numbers from 1, without the blank ones.

    ``None`` stands for a line that is too long.
    """
    async with contextlib.aclosing(_all_lines(services, batch)) as lines:
        async for number, raw in lines:
            if not _is_blank(raw):
                yield number, raw


async def _all_lines(services: Services, batch: Batch) -> AsyncGenerator[_Numbered, None]:
    """Yield all lines, blank ones too.

    Of an input that has not been found right, no more than the first line too many is looked at: ``None`` stands for it
    as for a line that is too long.
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
            yield number, raw


async def _steps(lines: AsyncGenerator[_Numbered, None]) -> AsyncGenerator[list[_Numbered], None]:
    """Yield lines by as many as are looked at in one go."""
    step: list[_Numbered] = []
    room = _STEP_BYTES
    async for number, raw in lines:
        size = len(raw or b"")
        if step and (size > room or len(step) == _STEP_LINES):
            yield step
            step, room = [], _STEP_BYTES
        step.append((number, raw))
        room -= size
    yield step


async def validate(services: Services, key: Key, batch: Batch, is_over: Callable[[], bool]) -> Findings | None:
    """Return what the input of a batch holds; ``None`` as soon as ``is_over`` says that nobody wants to know.

    Raises:
        ObjectError: it cannot be read.
    """
    look = _Look(services, key, batch)
    async with contextlib.aclosing(_all_lines(services, batch)) as lines, contextlib.aclosing(_steps(lines)) as steps:
        async for step in steps:
            if is_over():
                return None
            if await asyncio.to_thread(look.at, step):
                return look.findings
    return look.whole()


@dataclass
class _Look:
    """What has been seen of an input so far.

    Attributes:
        known: of each custom id half a digest, which is enough to tell them apart and short whatever it is.
        inputs: how many texts the lines have embedded.
    """

    services: Services
    key: Key
    batch: Batch
    findings: Findings = field(default_factory=Findings)
    known: set[bytes] = field(default_factory=set)
    inputs: int = 0

    @property
    def _most(self) -> int:
        return self.services.settings.batches.max_lines

    def at(self, step: list[_Numbered]) -> bool:
        """Look at some lines; say whether that is enough to know that the input is wrong."""
        mistakes = self.findings.mistakes
        for number, raw in step:
            if _is_blank(raw):
                continue
            self.findings.total += 1
            if number > self._most:
                mistakes.append(Mistake("too_many_lines", f"A batch has {self._most} lines at most."))
                return True
            if len(mistakes) >= MAX_MISTAKES:
                return True
            try:
                line = _right(self.services, self.key, self.batch, raw)
            except errors.ApiError as error:
                mistakes.append(mistake_of(error, number))
            else:
                self._take(number, line)
        return False

    def whole(self) -> Findings:
        """Return the findings once every line has been looked at."""
        if self.inputs > self._most:
            message = f"A batch embeds {self._most} inputs at most."
            self.findings.mistakes.append(Mistake("too_many_inputs", message))
        if not self.findings.total:
            self.findings.mistakes.append(Mistake("empty_file", "The input file has no lines."))
        return self.findings

    def _take(self, number: int, line: Line) -> None:
        digest = hashlib.sha256(line.custom_id.encode()).digest()[:16]
        if digest in self.known:
            message = "Another line has the same 'custom_id'."
            self.findings.mistakes.append(Mistake("duplicate_custom_id", message, "custom_id", number))
        self.known.add(digest)
        self.findings.models.add(self.services.models.asked_for(line.model))
        self.inputs += line.inputs


def mistake_of(error: errors.ApiError, number: int | None = None) -> Mistake:
    """Return an error as a batch tells it."""
    return Mistake(error.code or error.type, error.message, error.param, number)


def _is_blank(raw: bytes | None) -> bool:
    return raw is not None and not raw.strip()


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
