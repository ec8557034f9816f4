"""Batches whose model's provider refuses us, or takes no more requests now: their lines wait, and say why."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
import pytest
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs

from auth.key_changes import update_key
from auth.ledger_row import new_id
from gateway.batches import pauses
from gateway.batches.ask import ask
from gateway.batches.lines import parse_line
from gateway.batches.pauses import Pauses
from gateway.batches.runner import batches_run
from gateway.config.settings import AliasEntry, WeightedModel
from gateway.routes.batches import BatchObject
from objects.batches import Batch, Mistake
from tests.unit.clock import Clock
from tests.unit.gateway.batches.conftest import CHAT, House, line


class Provider:
    """An engine's app, that refuses as its provider does until somebody mends it."""

    def __init__(self, app: ASGIApp, status: int, **headers: str) -> None:
        self.app, self.status, self.headers = app, status, headers
        self.refused = 0
        self.has_refused = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.status == 200:
            await self.app(scope, receive, send)
            return
        self.refused += 1
        self.has_refused.set()
        headers = {name.replace("_", "-"): value for name, value in self.headers.items()}
        body: dict[str, Any] = {"error": {"message": "no", "type": "x", "param": None, "code": None}}
        await JSONResponse(body, status_code=self.status, headers=headers)(scope, receive, send)


@pytest.fixture
def provider(house: House) -> Iterator[Callable[..., Provider]]:
    """Return a function that puts a provider before the house's engine."""

    def put(status: int, **headers: str) -> Provider:
        house.engine.app = Provider(house.engine.app, status, **headers)
        return house.engine.app

    yield put


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused lines are tried again at once."""
    monkeypatch.setattr(pauses, "FIRST_S", 0.2)
    monkeypatch.setattr(pauses, "LONGEST_S", 0.2)


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_batch_whose_provider_refuses_us_goes_on_when_that_is_mended(
    house: House, provider: Callable[..., Provider], status: int, impatient: None
) -> None:
    refusing = provider(status)
    batch = await house.batch(*[line(f"line-{number}") for number in range(5)])
    with capture_logs() as logs:
        async with batches_run(house.services, "gateway-1"):
            await refusing.has_refused.wait()
            async with asyncio.timeout(10):
                while (await house.services.readiness.all())["echo"].state != "refused":
                    await asyncio.sleep(0.02)
            refusing.status = 200
            done = await house.until(batch, "completed", "failed")
    assert done.errors == []
    assert (done.status, done.completed, done.failed) == ("completed", 5, 0)
    assert (await house.services.readiness.all())["echo"].state == "ready"
    waits = [event for event in logs if event["event"] == "batch lines wait"]
    assert {(event["model"], event["reason"]) for event in waits} == {("echo", "upstream_misconfigured")}


async def told(house: House, batch: Batch) -> Sequence[Mistake]:
    """Return why lines of a batch wait, once it says so."""
    async with asyncio.timeout(10):
        while not (errors := (await house.again(batch)).errors):
            await asyncio.sleep(0.02)
    return errors


async def test_a_batch_that_is_refused_says_so_until_it_goes_on(
    house: House, provider: Callable[..., Provider], impatient: None
) -> None:
    refusing = provider(401)
    batch = await house.batch(line("one"), line("two"))
    async with batches_run(house.services, "gateway-1"):
        [reason] = await told(house, batch)
        assert (reason.code, reason.param, reason.line) == ("upstream_misconfigured", "model", None)
        assert reason.message.startswith("Lines for 'echo' wait: ")
        assert BatchObject.of(await house.again(batch)).status == "in_progress"
        refusing.status = 200
        assert (await house.until(batch, "completed")).errors == []


async def test_a_batch_says_that_its_provider_makes_it_wait_for_long(
    house: House, provider: Callable[..., Provider]
) -> None:
    provider(429, retry_after="3600")
    batch = await house.batch(line("one"))
    async with batches_run(house.services, "gateway-1"):
        [reason] = await told(house, batch)
    assert reason.code == "rate_limit_exceeded"


async def test_what_a_run_that_broke_off_has_told_is_taken_back(
    house: House, provider: Callable[..., Provider]
) -> None:
    refusing = provider(401)
    batch = await house.batch(line("one"))
    async with batches_run(house.services, "gateway-1"):
        await told(house, batch)
    refusing.status = 200
    house.engine.may_answer.clear()
    house.engine.arrived.clear()
    async with batches_run(house.services, "gateway-1"):
        await house.engine.arrived.wait()
        assert (await house.again(batch)).errors == []
        house.engine.may_answer.set()
        await house.until(batch, "completed")


@pytest.mark.parametrize("status", [429, 503])
async def test_a_batch_waits_as_long_as_a_provider_says(
    house: House, provider: Callable[..., Provider], status: int
) -> None:
    refusing = provider(status, retry_after_ms="1500")
    batch = await house.batch(line("one"))
    clock = asyncio.get_running_loop().time
    async with batches_run(house.services, "gateway-1"):
        await refusing.has_refused.wait()
        told_at, refusing.status = clock(), 200
        done = await house.until(batch, "completed")
    assert (done.completed, done.failed, refusing.refused) == (1, 0, 1)
    assert clock() - told_at >= 1.5


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_lines_that_were_refused_side_by_side_are_one_refusal(clock: Clock) -> None:
    waits = Pauses(clock)
    assert [waits.refused("m") for _ in range(3)] == [5.0, None, None]
    assert (waits.left_s("m"), waits.left_s("other")) == (5.0, 0.0)


def test_one_line_is_tried_at_intervals_that_double_up_to_a_bound(clock: Clock) -> None:
    waits = Pauses(clock)
    intervals = [waits.refused("m")]
    for _ in range(8):
        clock.now += waits.left_s("m")
        waits.begun("m")
        assert waits.left_s("m") > 0
        intervals.append(waits.refused("m"))
    assert intervals == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_an_answer_ends_the_wait(clock: Clock) -> None:
    waits = Pauses(clock)
    waits.refused("m")
    clock.now += 5
    waits.begun("m")
    waits.answered("m")
    assert waits.left_s("m") == 0


@pytest.mark.parametrize("status", [401, 404, 429, 503])
async def test_the_next_candidate_is_asked_where_a_provider_refuses(
    house: House, provider: Callable[..., Provider], status: int
) -> None:
    refusing = provider(status)
    either = AliasEntry(name="either", route=[WeightedModel(model="echo")], fallback=["other"])
    house.services.models.aliases["either"] = either
    access = house.services.access
    key = await update_key(access.store, house.key.id, models=["*"])
    await access.keys.refresh()
    asked = parse_line(orjson.dumps(line("one", model="either")), CHAT, house.services.settings.bounds)
    answering = asyncio.create_task(ask(house.services, key, asked, "req-1", new_id()))
    async with asyncio.timeout(10):
        await refusing.has_refused.wait()
    refusing.status = 200
    assert (await answering).status == 200
    assert (refusing.refused, len(house.engine.asked)) == (1, 2)
