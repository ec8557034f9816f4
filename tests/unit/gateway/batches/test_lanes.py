"""When lines run: side by side on idle models, one at a time and seldom beside others."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from engines.base import Load
from gateway.batches.idleness import Lane, MadeWay
from gateway.config.settings import BatchSettings
from gateway.request.traffic import Traffic
from tests.unit.clock import Clock

SETTINGS = BatchSettings(quiet_s=30, concurrency=4, busy_share=0.25, busy_requests=3)


class Scene:
    """A lane, the clients beside it, and the lines in it."""

    def __init__(self, settings: BatchSettings = SETTINGS) -> None:
        self.clock = Clock()
        self.traffic = Traffic(self.clock)
        self.lane = Lane("echo", settings, self.traffic, self.clock)
        self.lines: list[asyncio.Task[None]] = []
        self.made_way = 0

    async def begin(self) -> Callable[[], None]:
        """Begin a line; return what ends it."""
        over = asyncio.Event()

        async def run() -> None:
            try:
                with self.lane.occupied():
                    await over.wait()
            except MadeWay:
                self.made_way += 1

        self.lane.reserve()
        self.lines.append(asyncio.create_task(run()))
        await asyncio.sleep(0)
        return over.set

    async def run_one(self, took_s: float = 0.0) -> None:
        end = await self.begin()
        self.clock.now += took_s
        end()
        await self.settled()

    async def settled(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    def visit(self) -> None:
        """A client comes and goes."""
        with self.traffic.entered("echo"):
            pass


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    yield scene
    for line in scene.lines:
        line.cancel()
    await asyncio.gather(*scene.lines, return_exceptions=True)


async def test_an_idle_model_gets_more_lines_as_they_go_well(scene: Scene) -> None:
    most = []
    for _ in range(6):
        begun = []
        while scene.lane.has_room:
            begun.append(await scene.begin())
        most.append(len(begun))
        for end in begun:
            end()
        await scene.settled()
    assert most[0] == 1
    assert most == sorted(most)
    assert most[-1] == SETTINGS.concurrency


async def test_each_engine_replica_has_lines_of_its_own(scene: Scene) -> None:
    scene.lane.look({"a": Load(0, 0), "b": Load(0, 0)})
    for _ in range(40):
        begun = []
        while scene.lane.has_room:
            begun.append(await scene.begin())
        for end in begun:
            end()
        await scene.settled()
    assert len(begun) == 2 * SETTINGS.concurrency


async def test_when_somebody_comes_all_lines_but_the_oldest_break_off(scene: Scene) -> None:
    for _ in range(3):
        await scene.begin()
    scene.lane.make_way()
    await scene.settled()
    assert scene.made_way == 2
    assert not scene.lines[0].done()


async def test_beside_others_one_line_runs_for_its_share_of_the_time(scene: Scene) -> None:
    scene.visit()
    assert scene.lane.has_room
    await scene.run_one(took_s=2)
    assert not scene.lane.has_room
    scene.clock.now += 5.9
    assert not scene.lane.has_room
    scene.clock.now += 0.2  # a quarter of the time: two seconds of eight
    assert scene.lane.has_room


async def test_only_one_line_runs_beside_others(scene: Scene) -> None:
    scene.visit()
    await scene.begin()
    assert not scene.lane.has_room


async def test_where_others_are_many_no_line_runs(scene: Scene) -> None:
    scene.lane.look({"a": Load(running=3, waiting=0)})
    assert not scene.lane.has_room


async def test_where_others_wait_no_line_runs(scene: Scene) -> None:
    scene.lane.look({"a": Load(running=0, waiting=1)})
    assert not scene.lane.has_room


async def test_a_model_is_idle_again_after_a_quiet_time(scene: Scene) -> None:
    scene.visit()
    assert not scene.lane.is_idle
    scene.clock.now += 30
    assert scene.lane.is_idle


async def test_requests_of_other_gateways_are_seen_in_the_engines(scene: Scene) -> None:
    await scene.begin()
    scene.lane.look({"a": Load(running=1, waiting=0)})
    assert scene.lane.is_idle  # that is our own line
    scene.lane.look({"a": Load(running=2, waiting=0)})
    assert not scene.lane.is_idle


async def test_a_line_that_has_just_ended_is_not_taken_for_somebody_else(scene: Scene) -> None:
    await scene.run_one()
    scene.lane.look({"a": Load(running=1, waiting=0)})
    assert scene.lane.is_idle


async def test_without_a_share_no_line_runs_beside_others() -> None:
    scene = Scene(SETTINGS.model_copy(update={"busy_share": 0.0}))
    await scene.begin()
    scene.visit()
    scene.lane.make_way()
    await scene.settled()
    assert scene.made_way == 1
    assert not scene.lane.has_room


async def test_who_waits_for_room_is_told_when_a_line_ends(scene: Scene) -> None:
    end = await scene.begin()
    waiting = asyncio.create_task(scene.lane.room(timeout_s=30))
    await scene.settled()
    end()
    assert await waiting
