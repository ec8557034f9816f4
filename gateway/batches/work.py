"""The lines of one batch, from the first that has no result to the last."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from functools import partial

import structlog

from auth.usage import NOTHING
from gateway.answers.engine_errors import UPSTREAM_MISCONFIGURED
from gateway.batches.ask import Reply, ask
from gateway.batches.idleness import Lane, Lanes, MadeWay
from gateway.batches.lines import Line, parse_aside
from gateway.batches.notices import WORTH_TELLING_S, Notices
from gateway.batches.owner import KEY_GONE, KeyGone, Owner
from gateway.batches.pauses import Pauses
from gateway.batches.recorder import Recorder, patiently, recording
from gateway.batches.results import answered, request_id
from gateway.batches.validation import mistake_of, numbered_lines
from gateway.http import errors
from gateway.request.services import Services
from objects.batch_progress import Claim, claim_again, claim_lines, claims_of
from objects.batches import Batch, Mistake
from objects.runner import Office
from objects.states import Ended

CLAIMED_AT_ONCE = 32
ATTEMPTS = 3
"""How often a line runs whose engine dies under it."""

SET_ASIDE = 32
"""As many lines are held in memory at most because their model waits, so that others can be found behind them."""

_LOOK_S = 0.1
"""How soon a batch that waits for its turn notices that it is to end."""

_BUSY_PAUSE_MS = 1000

log = structlog.get_logger("raygate.batches")


@dataclass
class Todo:
    """A line that is to run.

    Attributes:
        claim: its id in the ledger.
        attempts: how often an engine has died under it.
    """

    number: int
    line: Line
    claim: Claim
    attempts: int = 0


@dataclass
class Work:
    """One batch at work.

    Attributes:
        cancelled: set when its owner wants it to end.
        owner: whose key it runs under.
        failure: why the batch as a whole cannot go on.
    """

    services: Services
    office: Office
    lanes: Lanes
    batch: Batch
    cancelled: asyncio.Event
    owner: Owner
    failure: Mistake | None = None
    _following: Todo | None = None
    _again: deque[Todo] = field(default_factory=deque)
    _in_flight: int = 0
    _pauses: Pauses = field(default_factory=Pauses)
    _notices: Notices = field(init=False)

    def __post_init__(self) -> None:
        self._notices = Notices(self.office, self.batch)

    async def run(self) -> Ended:
        """Run every line that has no result yet; return how the batch has ended.

        Raises:
            Deposed: another gateway replica runs the batches.
            ObjectError: the input cannot be read.
        """
        await self._notices.begin()
        async with (
            recording(self.office, self.services.access.ledger, self.batch) as recorder,
            asyncio.TaskGroup() as lines,
            contextlib.aclosing(self._todos()) as todos,
        ):
            async for todo in todos:
                self._in_flight += 1
                self._lane(todo).reserve()
                self._pauses.begun(self._asked(todo))
                lines.create_task(self._run(todo, recorder), name=request_id(self.batch, todo.number))
        is_complete = not (self._following or self._again or self.failure)
        return "completed" if is_complete else self._outcome or "failed"

    @property
    def _outcome(self) -> Ended | None:
        """Why no further line is to run, if there is a reason."""
        if self.failure:
            return "failed"
        if self.cancelled.is_set():
            return "cancelled"
        return "expired" if time.time() >= self.batch.expires_at else None

    async def _todos(self) -> AsyncGenerator[Todo, None]:
        """Yield each line when it may run: those of the file, and those that are to run again."""
        async with contextlib.aclosing(self._fresh()) as fresh:
            self._following = await anext(fresh, None)
            while await self._goes_on():
                todo = next(filter(self._may_go, self._again), None)
                if todo is None and self._following and self._may_go(self._following):
                    todo = self._following
                elif todo is None and self._following and len(self._again) < SET_ASIDE:
                    # Its model waits: those behind it may ask for others.
                    self._again.append(self._following)
                    self._following = await anext(fresh, None)
                    continue
                if todo is None or not await self._lane(todo).room(_LOOK_S):
                    await asyncio.sleep(0 if todo else _LOOK_S)
                    continue
                if todo is self._following:
                    yield todo
                    self._following = await anext(fresh, None)
                else:
                    self._again.remove(todo)
                    yield todo

    async def _goes_on(self) -> bool:
        """Say whether there is something left to run, and a key for it: one that is gone ends lines that wait, too."""
        if not (self._following or self._again or self._in_flight):
            return False
        try:
            await patiently(self.owner.key)
        except KeyGone:
            self.failure = KEY_GONE
        return self._outcome is None

    def _may_go(self, todo: Todo) -> bool:
        return self._pauses.left_s(self._asked(todo)) == 0

    def _asked(self, todo: Todo) -> str:
        return todo.line.model or self.services.models.default or ""

    def _lane(self, todo: Todo) -> Lane:
        models = self.services.models
        asked = self._asked(todo)
        return self.lanes.of(models.behind(asked)[0].name if asked in models.aliases else asked)

    async def _fresh(self) -> AsyncGenerator[Todo, None]:
        """Yield the lines of the input that have no result, each with its claim."""
        known = await patiently(partial(claims_of, self.services.access.store, self.batch))
        settings = self.services.settings
        page: list[tuple[int, Line]] = []
        async with contextlib.aclosing(numbered_lines(self.services, self.batch)) as lines:
            async for number, raw in lines:
                if number in known and known[number].is_done:
                    continue
                try:
                    line = await parse_aside(raw or b"", self.batch.endpoint, settings.bounds, settings.unknown_fields)
                    page.append((number, line))
                except errors.ApiError as error:  # it was right once: the configuration has changed
                    self.failure = mistake_of(error, number)
                    return
                if len(page) == CLAIMED_AT_ONCE:
                    for todo in await self._claimed(page, known):
                        yield todo
                    page = []
            for todo in await self._claimed(page, known):
                yield todo

    async def _claimed(self, page: list[tuple[int, Line]], known: dict[int, Claim]) -> list[Todo]:
        numbers = [number for number, _ in page if number not in known]
        if numbers:
            known |= await patiently(partial(claim_lines, self.office, self.batch, numbers))
        return [Todo(number, line, known[number]) for number, line in page]

    async def _run(self, todo: Todo, recorder: Recorder) -> None:
        try:
            reply = await self._reply(todo)
            if reply is None:
                # An attempt without an answer has its own row in the ledger, of no cost.
                todo.claim = await patiently(partial(claim_again, self.office, self.batch, todo.number))
                self._again.append(todo)
            else:
                result = answered(self.batch, todo.number, todo.line.custom_id, reply.status, reply.body, reply.usage)
                await recorder.take(result)
        finally:
            self._in_flight -= 1

    async def _reply(self, todo: Todo) -> Reply | None:
        """Return the reply to a line; ``None`` when it is to run again."""
        try:
            with self._lane(todo).occupied():
                key = await patiently(self.owner.key)
                name = request_id(self.batch, todo.number)
                reply = await ask(self.services, key, todo.line, name, todo.claim.ledger_id)
            if reply.error and reply.error.status == 401:
                # Whether our own key is gone, our own check says and nobody else.
                await patiently(self.owner.key)
        except MadeWay:
            return None
        except KeyGone:
            self.failure = KEY_GONE
            return None
        except Exception as error:
            log.exception("batch line failed", batch=self.batch.id, line=todo.number, error=type(error).__name__)
            fault = errors.internal()
            return Reply(fault.status, fault.body(), NOTHING, fault)
        if reply.error and await self._is_for_later(reply.error, todo):
            return None
        self._pauses.answered(self._asked(todo))
        await self._notices.goes_on(self._asked(todo))
        return reply

    async def _is_for_later(self, error: errors.ApiError, todo: Todo) -> bool:
        """Say whether a line should run again rather than keep this error, and note when."""
        model = self._asked(todo)
        if error.code == UPSTREAM_MISCONFIGURED:
            if again_s := self._pauses.refused(model):
                log.warning("batch lines wait", batch=self.batch.id, model=model, reason=error.code, again_s=again_s)
            await self._notices.waits(model, error)
            return True
        may_wait = error.status in (401, 503) or error.code == "rate_limit_exceeded"
        if may_wait and (error.status != 429 or "retry-after-ms" in error.headers):
            again_s = float(error.headers.get("retry-after-ms", _BUSY_PAUSE_MS)) / 1000
            self._pauses.told(model, again_s)
            if again_s >= WORTH_TELLING_S:
                await self._notices.waits(model, error)
            return True
        todo.attempts += 1
        return error.status == 500 and todo.attempts < ATTEMPTS
