"""Random requests against a reference model: what is charged, what is in the ledger, who answers."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from auth.limits import Limit
from auth.usage import Usage
from tests.unit.gateway.request.conftest import ALIASES, MODELS, Opened

PRICES = {model.name: model.price for model in MODELS}
ORDERS = {alias.name: [alias.route[0].model, *alias.fallback] for alias in ALIASES}
BUDGET, REQUESTS, PAID = 60.0, 40, 15


@dataclass
class Reference:
    """The limits of the test as simple sums."""

    money: float = BUDGET
    requests: int = REQUESTS
    paid: int = PAID

    def status(self, model: str, max_tokens: int, failing: Mapping[str, int], usage: Mapping[str, Usage]) -> int:
        """Return the status that a request must have, and charge it."""
        rejected, failed = False, 503
        for candidate in ORDERS.get(model, [model]):
            bound = Usage(0, max_tokens).cost(PRICES[candidate])
            if self.requests < 1 or (bound and bound > self.money) or (candidate == "paid" and self.paid < 1):
                rejected = True
            elif candidate in failing:
                failed = failing[candidate]
            else:
                self.money -= usage[candidate].cost(PRICES[candidate])
                self.requests -= 1
                self.paid -= candidate == "paid"
                return 200
        return 429 if rejected else failed


@pytest.mark.parametrize("seed", range(4))
async def test_charges_rows_and_answers_are_what_a_reference_model_says(open_house: Opened, seed: int) -> None:
    draw = random.Random(seed)
    house = await open_house(
        Limit("cost", "day", BUDGET), Limit("requests", "day", REQUESTS), Limit("requests", "day", PAID, "paid")
    )
    reference = Reference()
    for _ in range(70):
        model = draw.choice([*PRICES, *ORDERS])
        max_tokens = draw.randint(1, 4)
        house.engines.failing = {name: 503 for name in PRICES if draw.random() < 0.3}
        house.engines.usage = {name: Usage(draw.randint(0, 9), draw.randint(0, max_tokens)) for name in PRICES}
        answered = await house.ask(model, max_tokens)
        expected = reference.status(model, max_tokens, house.engines.failing, house.engines.usage)
        assert answered.status_code == expected
    assert await house.left() == [reference.money, reference.requests, reference.paid]
    rows = await house.rows()
    assert sum(row.cost for row in rows) == BUDGET - reference.money
    assert sum(row.status == 200 for row in rows) == REQUESTS - reference.requests
    assert reference.money >= 0
