"""When a line of a batch may run: on models that nobody else uses, and a little beside others.

A model is *idle* once nobody has asked it for ``quiet_s``. Lines then run side by side: one at first, one more for
each that ends, up to ``concurrency`` on each engine replica. When somebody comes, all lines but the oldest are broken
off at once, to run again later: their engine stops within a step.

A model that is not idle is *busy*. One line at a time may run beside others, for ``busy_share`` of the time: so a
request meets a line with that probability, and the median of what requests wait hardly moves. Where others are many
(``busy_requests``), or wait already, no line runs.

Others are the requests in this gateway replica (known at once) and whatever the engines run beyond our own lines:
the requests of the other gateway replicas (known within ``LOOK_S``).
"""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field

from engines.base import Load
from gateway.config.settings import BatchSettings
from gateway.request.traffic import Traffic

LOOK_S = 0.2
"""How often engines are asked for their load while lines run or wait."""

_GRACE_S = 0.5
"""For so long an engine may still count a line that has ended here."""

_WANTED_S = 2.0

Loads = Callable[[str], Awaitable[Mapping[str, Load]]]
"""Tells the load of each of a model's engine replicas."""


class MadeWay(Exception):
    """A line was broken off because somebody came; it is to run again."""


@dataclass
class Lane:
    """The lines of one model that run, and whether another may."""

    model: str
    settings: BatchSettings
    traffic: Traffic
    clock: Callable[[], float] = time.monotonic
    _reserved: int = 0
    _running: dict[asyncio.Task[None], float] = field(default_factory=dict)
    _cleared: set[asyncio.Task[None]] = field(default_factory=set)
    _ended_at: list[float] = field(default_factory=list)
    _window: int = 1
    _replicas: int = 1
    _others: int = 0
    _others_wait: bool = False
    _others_seen_at: float = -math.inf
    _not_before: float = -math.inf
    _wanted_at: float = -math.inf
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_idle(self) -> bool:
        """Whether nobody has used the model for a while."""
        quiet_s = min(self.traffic.quiet_s(self.model), self.clock() - self._others_seen_at)
        return quiet_s >= self.settings.quiet_s

    @property
    def is_wanted(self) -> bool:
        """Whether lines run or wait for their turn."""
        return bool(self._taken) or self.clock() - self._wanted_at < _WANTED_S

    @property
    def has_room(self) -> bool:
        """Whether one more line may start now."""
        if self.is_idle:
            return self._taken < min(self._window, self.settings.concurrency * self._replicas)
        others = max(self._others, self.traffic.inside(self.model))
        is_crowded = others >= self.settings.busy_requests or self._others_wait
        may_share = self.settings.busy_share > 0 and self.clock() >= self._not_before
        return may_share and not self._taken and not is_crowded

    @property
    def _taken(self) -> int:
        return self._reserved + len(self._running)

    async def room(self, timeout_s: float) -> bool:
        """Wait for room, for so long at most; say whether there is some."""
        self._wanted_at = self.clock()
        if not self.has_room:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait()
        return self.has_room

    def reserve(self) -> None:
        """Take the room for a line whose task is about to begin; ``occupied`` fills it."""
        self._reserved += 1

    @contextlib.contextmanager
    def occupied(self) -> Iterator[None]:
        """Count the task at hand as the line for which room was reserved.

        Raises:
            MadeWay: it was broken off.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - called from coroutines alone
        self._reserved -= 1
        began_at = self._running[task] = self.clock()
        try:
            yield
        except asyncio.CancelledError:
            if task not in self._cleared:
                raise
            task.uncancel()
            raise MadeWay from None
        finally:
            if task in self._cleared:
                self._cleared.remove(task)
            else:
                self._ended(task, began_at)
            self._changed.set()

    def make_way(self) -> None:
        """Break off all lines but the oldest: somebody has come."""
        self._window = 1
        keep = 1 if self.settings.busy_share else 0
        for task in list(self._running)[keep:]:
            del self._running[task]
            self._cleared.add(task)
            self._ended_at.append(self.clock())
            task.cancel()

    def look(self, loads: Mapping[str, Load]) -> None:
        """Take what the engines say; what they run beyond our own lines is somebody else's."""
        now = self.clock()
        self._ended_at = [ended_at for ended_at in self._ended_at if now - ended_at < _GRACE_S]
        own = len(self._running) + len(self._ended_at)
        self._replicas = max(1, len(loads))
        self._others = max(0, sum(load.running + load.waiting for load in loads.values()) - own)
        self._others_wait = self._others > 0 and any(load.waiting for load in loads.values())
        if self._others:
            if self.is_idle:
                self.make_way()
            self._others_seen_at = now
        self._changed.set()

    def rest(self) -> None:
        """Forget how many lines went well side by side, since none has been wanted for a while."""
        self._window = 1

    def _ended(self, task: asyncio.Task[None], began_at: float) -> None:
        was_full = self._taken >= self._window
        del self._running[task]
        now = self.clock()
        self._ended_at.append(now)
        if not self.is_idle:
            self._not_before = now + (now - began_at) * (1 / (self.settings.busy_share or 1) - 1)
        elif was_full:
            self._window = min(self._window + 1, self.settings.concurrency * self._replicas)


class Lanes:
    """The lanes of all models."""

    def __init__(self, settings: BatchSettings, traffic: Traffic, loads: Loads) -> None:
        """Args: loads: asks a model's engines."""
        self._settings = settings
        self._traffic = traffic
        self._loads = loads
        self._lanes: dict[str, Lane] = {}

    def of(self, model: str) -> Lane:
        """Return the lane of a model."""
        return self._lanes.setdefault(model, Lane(model, self._settings, self._traffic))

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncGenerator[None, None]:
        """Keep an eye on the models whose lanes are wanted."""
        with self._traffic.watched(self._somebody_came):
            looking = asyncio.create_task(self._keep_looking(), name="batch-lanes")
            try:
                yield
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)

    def _somebody_came(self, model: str) -> None:
        if lane := self._lanes.get(model):
            lane.make_way()

    async def _keep_looking(self) -> None:
        while True:
            for lane in list(self._lanes.values()):
                if lane.is_wanted:
                    lane.look(await self._loads(lane.model))
                else:
                    lane.rest()
            await asyncio.sleep(LOOK_S)
