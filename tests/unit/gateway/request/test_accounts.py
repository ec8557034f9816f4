"""Random requests against a reference model, over a restart: what is charged, what is in the ledger, who answers."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from auth import counter
from auth.access import Access
from auth.lease_actor import LeaseKeeper
from auth.ledger_check import sums
from auth.limits import Limit
from auth.usage import MAX_COUNT, NOTHING, Usage
from gateway.app import create_app
from gateway.config.settings import Bounds
from gateway.responses.background import Background
from gateway.responses.late_ends import LateEnds
from tests.unit.gateway.request.conftest import ALIASES, MODELS, House, Opened, cancelled

PRICES = {model.name: model.price for model in MODELS}
ORDERS = {alias.name: [alias.route[0].model, *alias.fallback] for alias in ALIASES}
ASSUMED = Bounds().assumed_completion_tokens
BUDGET, REQUESTS, PAID, TOKENS = 60.0, 60, 20, 10_000_000
LIMITS = (
    Limit("cost", "day", BUDGET),
    Limit("requests", "day", REQUESTS),
    Limit("requests", "day", PAID, "paid"),
    Limit("prompt_tokens", "day", TOKENS),
    Limit("completion_tokens", "day", TOKENS),
)
ESTIMATED = Usage(9, 1)
"""What the gateway counts of its own: a word and what a template adds, and the answer's one word."""

LEFT = 499

DENIED_S = 0.01
"""For so long a limit without room for a request is taken to have none for a smaller one either."""


@dataclass(frozen=True)
class Report:
    """What an engine says that it has used, and what is to be believed of it."""

    told: Any
    believed: Usage | None = None


@dataclass(frozen=True)
class Scene:
    """One request, and what its engines will do; ``late`` is what they say when the client has left."""

    model: str
    max_tokens: int | None
    failing: dict[str, int]
    reports: dict[str, Report]
    late: dict[str, Usage] | None = None


def report(draw: random.Random, max_tokens: int | None) -> Report:
    """Return a report as servers send them."""
    most = ASSUMED if max_tokens is None else max_tokens  # limits count tokens, so the engine has been told
    used = Usage(draw.randint(0, 9), draw.randint(0, most))
    good = [
        Report(used, used),
        Report({"prompt_tokens": 3.0, "completion_tokens": 1.0}, Usage(3, 1)),
        Report({"prompt_tokens": 4, "completion_tokens": None}, Usage(4, 0)),
    ]
    odd = [None, [], "many", {}, {"completion_tokens": 1}]
    odd += [{"prompt_tokens": 1, "completion_tokens": count} for count in (-5, 1.5, "7", True, MAX_COUNT + 2, most + 1)]
    odd += [{"prompt_tokens": count, "completion_tokens": 1} for count in (-5, 1.5, "7", None, 2**40)]
    return draw.choice([*good, *good, *map(Report, odd)])


def late(draw: random.Random, max_tokens: int | None) -> dict[str, Usage]:
    """Return what the engines know of a request when its client has left: something, nothing, or what cannot be."""
    most = ASSUMED if max_tokens is None else max_tokens
    known = {name: draw.choice([Usage(2, draw.randint(0, 1)), NOTHING, Usage(2, most + 1), None]) for name in PRICES}
    return {name: count for name, count in known.items() if count is not None}


def scene(draw: random.Random) -> Scene:
    """Return a request that may have any end."""
    max_tokens = draw.choice([1, 2, 3, 4, None])
    return Scene(
        model=draw.choice([*PRICES, *ORDERS]),
        max_tokens=max_tokens,
        failing={name: 503 for name in PRICES if draw.random() < 0.3},
        reports={name: report(draw, max_tokens) for name in PRICES},
        late=late(draw, max_tokens) if draw.random() < 0.25 else None,
    )


@dataclass
class Reference:
    """The limits of the test as simple sums."""

    money: float = BUDGET
    requests: int = REQUESTS
    paid: int = PAID
    used: list[Usage] = field(default_factory=list)
    estimated: int = 0

    def status(self, scene: Scene) -> int:
        """Return the status that a request must have, and charge it."""
        bound = Usage(0, ASSUMED if scene.max_tokens is None else scene.max_tokens)
        rejected, failed = False, 503
        for candidate in ORDERS.get(scene.model, [scene.model]):
            cost = bound.cost(PRICES[candidate])
            if self.requests < 1 or (cost and cost > self.money) or (candidate == "paid" and self.paid < 1):
                rejected = True
            elif candidate in scene.failing:
                failed = scene.failing[candidate]
            else:
                return self._answered(candidate, scene)
        return 429 if rejected else failed

    def _answered(self, candidate: str, scene: Scene) -> int:
        if scene.late is None:
            self._charge(candidate, scene.reports[candidate].believed, ESTIMATED)
            return 200
        count = scene.late.get(candidate)
        if count != NOTHING:
            fits = count is not None and count.completion_tokens <= 1
            self._charge(candidate, count if fits else None, replace(ESTIMATED, completion_tokens=0))
        return LEFT

    def _charge(self, candidate: str, believed: Usage | None, estimate: Usage) -> None:
        used = estimate if believed is None else believed
        self.estimated += believed is None
        self.used.append(used)
        self.money -= used.cost(PRICES[candidate])
        self.requests -= 1
        self.paid -= candidate == "paid"

    @property
    def prompt_tokens(self) -> int:
        return sum(used.prompt_tokens for used in self.used)

    @property
    def completion_tokens(self) -> int:
        return sum(used.completion_tokens for used in self.used)

    def left(self) -> list[float]:
        """Return what must be left of each limit."""
        return [self.money, self.requests, self.paid, TOKENS - self.prompt_tokens, TOKENS - self.completion_tokens]


async def play(house: House, scene: Scene) -> int:
    """Let a request happen; return its status."""
    engines, is_held = house.engines, asyncio.Event()
    engines.failing = scene.failing
    engines.usage = {name: report.told for name, report in scene.reports.items()}
    engines.late, engines.before = scene.late or {}, None

    async def hold(model: str) -> None:
        if model not in scene.failing:
            is_held.set()
            await asyncio.Event().wait()

    if scene.late is None:
        return (await house.ask(scene.model, scene.max_tokens)).status_code
    engines.before = hold
    asking = asyncio.create_task(house.ask(scene.model, scene.max_tokens))
    held = asyncio.create_task(is_held.wait())
    await asyncio.wait([asking, held], return_when=asyncio.FIRST_COMPLETED)
    await cancelled(held)
    if asking.done():
        return asking.result().status_code
    await cancelled(asking)
    await house.late_counts.wait()
    return LEFT


@contextlib.asynccontextmanager
async def restarted(house: House, database_url: str, home: Path) -> AsyncGenerator[House]:
    """Yield the house with all processes new: nobody knows what was used, but for the ledger."""
    await house.access.close()
    keeper = LeaseKeeper(database_url)
    access = await Access.open(database_url, keeper, replica="gateway-2")
    services = replace(house.services, access=access)
    background = Background(access.store, "gateway-2", services.settings.responses, LateEnds(home / "responses"))
    yield replace(house, app=create_app(services, background), access=access, services=services)
    await access.close()
    await keeper._store.close()


async def live(house: House, reference: Reference, draw: random.Random) -> None:
    """Let requests happen, and hold their statuses, limits, rows, sums and figures against the reference."""
    for scene_ in [scene(draw) for _ in range(50)]:
        assert await play(house, scene_) == reference.status(scene_)
        await asyncio.sleep(DENIED_S)
    rows = await house.rows()
    assert await house.left() == reference.left()
    assert sum(row.cost for row in rows) == BUDGET - reference.money
    assert sum(bool(row.model) for row in rows) == REQUESTS - reference.requests
    assert sum(row.prompt_tokens for row in rows) == reference.prompt_tokens
    assert sum(row.completion_tokens for row in rows) == reference.completion_tokens
    assert sum(row.estimated for row in rows) == reference.estimated
    of_rows, of_hours = await sums(house.access.store)
    assert of_rows == of_hours
    lines = house.services.metrics.exposition().decode().splitlines()
    series = [line for line in lines if line.startswith("raygate_estimated_requests_total{")]
    assert sum(float(line.rpartition(" ")[2]) for line in series) == reference.estimated


@pytest.mark.parametrize("seed", range(4))
async def test_charges_rows_and_answers_are_what_a_reference_model_says(
    open_house: Opened, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(counter, "DENIED_S", DENIED_S)
    draw = random.Random(seed)
    house, reference = await open_house(*LIMITS), Reference()
    await live(house, reference, draw)
    async with restarted(house, database_url, tmp_path) as house:
        await live(house, reference, draw)
    assert min(reference.left()) >= 0
    assert reference.estimated > 5
