"""What an alias's models may cost, each by its own price and limits."""

import asyncio

import pytest

from auth.limits import Limit
from auth.usage import Usage
from gateway.config.settings import Bounds
from tests.unit.gateway.request.conftest import Opened, cancelled

ASSUMED = Bounds().assumed_completion_tokens


async def test_a_paid_fallback_behind_a_free_model_is_held_to_the_budget(open_house: Opened) -> None:
    house = await open_house(Limit("cost", "day", 3))
    house.engines.failing["free"] = 500
    statuses = await house.asks("saving", 8)
    assert statuses == [200] * 3 + [429] * 5
    assert await house.left() == [0]
    assert sum(row.cost for row in await house.rows()) == 3


async def test_a_budget_of_nothing_lets_a_free_model_answer_and_no_paid_one(open_house: Opened) -> None:
    house = await open_house(Limit("cost", "day", 0))
    assert await house.asks("saving", 2) == [200, 200]
    house.engines.failing["free"] = 500
    assert await house.asks("saving", 2) == [429, 429]
    assert house.engines.asked.count("paid") == 0


async def test_a_limit_on_a_fallback_counts_when_it_is_reached_through_its_alias(open_house: Opened) -> None:
    house = await open_house(Limit("requests", "minute", 2, "paid"))
    house.engines.failing["free"] = 500
    assert await house.asks("saving", 3) == [200, 200, 429]
    assert await house.asks("paid", 1) == [429]


async def test_a_limit_on_an_alias_counts_what_is_asked_of_it_whoever_answers(open_house: Opened) -> None:
    house = await open_house(Limit("requests", "minute", 2, "saving"))
    assert await house.asks("saving", 1) == [200]
    house.engines.failing["free"] = 500
    assert await house.asks("saving", 2) == [200, 429]
    assert await house.asks("paid", 3) == [200] * 3


async def test_a_candidate_without_room_is_passed_over(open_house: Opened) -> None:
    house = await open_house(Limit("cost", "day", 1))
    assert await house.asks("careful", 3) == [200] * 3
    assert house.engines.asked == ["paid", "free", "free"]


async def test_when_none_remains_the_client_is_told_of_the_first_limit_without_room(open_house: Opened) -> None:
    house = await open_house(Limit("requests", "day", 0, "paid"), Limit("requests", "minute", 0, "dear"))
    house.engines.failing["free"] = 503
    refused = await house.ask("any")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "insufficient_quota")
    assert "for models paid" in refused.json()["error"]["message"]


async def test_a_request_that_two_candidates_were_tried_for_counts_once(open_house: Opened) -> None:
    house = await open_house(Limit("requests", "minute", 3), Limit("tokens", "minute", 100))
    house.engines.failing["free"] = 500
    house.engines.usage["paid"] = Usage(4, 1)
    answered = await house.ask("saving")
    assert answered.headers["x-ratelimit-remaining-requests"] == "2"
    assert await house.left() == [2, 95]


async def test_a_request_that_every_candidate_failed_costs_nothing(open_house: Opened) -> None:
    house = await open_house(Limit("requests", "minute", 3), Limit("cost", "day", 3), Limit("concurrency", None, 1))
    house.engines.failing |= {"free": 500, "paid": 503}
    failed = await house.ask("saving")
    assert failed.status_code == 503
    assert failed.headers["x-ratelimit-limit-requests"] == "3"
    assert await house.left() == [3, 3, 1]
    [row] = await house.rows()
    assert (row.model, row.cost, row.prompt_tokens) == ("", 0, 0)


async def test_a_clients_own_mistake_is_told_by_the_first_that_saw_it(open_house: Opened) -> None:
    house = await open_house(Limit("requests", "minute", 3))
    house.engines.failing["free"] = 400
    assert await house.asks("saving", 1) == [400]
    assert house.engines.asked == ["free"]
    assert await house.left() == [3]


async def test_headers_tell_of_the_limits_of_the_model_that_answered(open_house: Opened) -> None:
    house = await open_house(Limit("requests", "minute", 5, "free"), Limit("requests", "minute", 9, "paid"))
    house.engines.failing["free"] = 500
    answered = await house.ask("saving")
    assert answered.headers.get_list("x-ratelimit-limit-requests") == ["9"]
    assert answered.headers.get_list("x-ratelimit-remaining-requests") == ["8"]


async def test_a_slot_is_held_while_the_fallback_answers_and_given_back_then(open_house: Opened) -> None:
    house = await open_house(Limit("concurrency", None, 1))
    asked, go_on = asyncio.Event(), asyncio.Event()
    house.engines.failing["free"] = 500

    async def hold(model: str) -> None:
        if model == "paid":
            asked.set()
            await go_on.wait()

    house.engines.before = hold
    first = asyncio.create_task(house.ask("saving"))
    await asked.wait()
    assert await house.asks("saving", 1) == [429]
    go_on.set()
    assert (await first).status_code == 200
    assert await house.asks("saving", 1) == [200]


async def test_who_leaves_a_paid_fallback_is_charged_by_the_engines_late_count(open_house: Opened) -> None:
    house = await open_house(Limit("cost", "day", 100))
    house.engines.failing["free"] = 500
    house.engines.late["paid"] = Usage(1, 7)
    asked = asyncio.Event()

    async def hold(model: str) -> None:
        if model == "paid":
            asked.set()
            await asyncio.Event().wait()

    house.engines.before = hold
    asking = asyncio.create_task(house.ask("saving", max_tokens=9))
    await asked.wait()
    await cancelled(asking)
    [row] = await house.rows()
    assert (row.model, row.cost) == ("paid", 7)
    assert await house.left() == [93]


async def test_who_leaves_while_waiting_in_an_engines_queue_has_used_nothing_by_ledger_and_limits(
    open_house: Opened,
) -> None:
    house = await open_house(Limit("tokens", "minute", 100), Limit("requests", "minute", 10))
    house.engines.late["free"] = Usage()
    asked = asyncio.Event()

    async def hold(model: str) -> None:
        asked.set()
        await asyncio.Event().wait()

    house.engines.before = hold
    asking = asyncio.create_task(house.ask("free", max_tokens=9))
    await asked.wait()
    await cancelled(asking)
    [row] = await house.rows()
    assert (row.prompt_tokens, row.completion_tokens) == (0, 0)
    assert await house.left() == [100, 10]


@pytest.mark.parametrize("used", [ASSUMED, ASSUMED + 2])
async def test_a_budget_used_up_or_overshot_refuses_what_costs_money_and_nothing_else(
    open_house: Opened, used: int
) -> None:
    house = await open_house(Limit("cost", "day", ASSUMED))
    house.engines.usage["paid"] = Usage(1, used)
    assert await house.asks("paid", 2, max_tokens=None) == [200, 429]
    assert await house.asks("free", 2) == [200, 200]
