import asyncio

import pytest

from auth.errors import InvalidValue
from auth.limits import Limit, dump_limits, load_limits, parse_limits
from auth.quota import go_duration
from auth.rejection import Rejected
from auth.reservation import Reservation
from auth.usage import FREE, Price, Usage
from tests.unit.auth.simulation import ONE, World, admitted, key_with, project_with

PROJECT = project_with()
DAY_S = 86_400


def reserve(world: World, *limits: Limit, estimate: Usage = ONE, model: str = "m", price: Price = FREE) -> Reservation:
    return world.limiters[0].reserve(key_with(*limits), PROJECT, model=model, estimate=estimate, price=price)


async def test_a_key_without_limits_is_never_rejected() -> None:
    world = World()
    assert [await admitted(reserve(world)) for _ in range(1000)].count(True) == 1000


async def test_a_rejection_says_which_limit_whose_and_when_it_frees() -> None:
    world = World()
    limit = Limit("requests", "minute", 2)
    async with reserve(world, limit), reserve(world, limit):
        pass
    world.now += 10
    with pytest.raises(Rejected) as error:
        await reserve(world, limit).__aenter__()
    rejected = error.value
    assert (rejected.limit, rejected.owner, rejected.owner_id, rejected.kind) == (limit, "key", "key_1", "requests")
    assert rejected.remaining == 0
    assert rejected.frees_in_s == pytest.approx(50, abs=0.6)
    assert "limit of 2 requests per minute for this key" in str(rejected)


async def test_no_double_burst_goes_through_at_the_edge_of_a_minute() -> None:
    world = World(now=59.9)
    limit = Limit("requests", "minute", 10)
    first = [await admitted(reserve(world, limit)) for _ in range(20)]
    world.now = 60.1
    second = [await admitted(reserve(world, limit)) for _ in range(20)]
    assert (sum(first), sum(second)) == (10, 0)


async def test_settling_gives_the_unused_tokens_back() -> None:
    world = World()
    limit = Limit("tokens", "minute", 1000)
    async with reserve(world, limit, estimate=Usage(100, 900)) as reservation:
        assert not await admitted(reserve(world, limit, estimate=Usage(1, 0)))
        reservation.settle(Usage(100, 50))
    world.now += 1
    assert await admitted(reserve(world, limit, estimate=Usage(100, 750)))


async def test_more_than_the_estimate_is_charged_in_full() -> None:
    world = World()
    limit = Limit("tokens", "minute", 1000)
    async with reserve(world, limit, estimate=Usage(10, 10)) as reservation:
        reservation.settle(Usage(500, 500))
    assert not await admitted(reserve(world, limit, estimate=Usage(1, 0)))


async def test_a_reservation_is_settled_once() -> None:
    async with reserve(World()) as reservation:
        reservation.settle(ONE)
        with pytest.raises(RuntimeError):
            reservation.settle(ONE)


async def test_who_is_cancelled_without_settling_pays_for_the_estimate() -> None:
    world = World()
    limit = Limit("tokens", "minute", 1000)
    with pytest.raises(asyncio.CancelledError):
        async with reserve(world, limit, estimate=Usage(100, 800)) as reservation:
            raise asyncio.CancelledError
    assert reservation.settled == Usage(100, 800)
    assert (await world.limiters[0].quotas(key_with(limit), PROJECT))[0].remaining == 100


async def test_what_the_engine_says_afterwards_replaces_what_was_settled() -> None:
    world = World()
    limits = (Limit("tokens", "minute", 1000), Limit("cost", "day", 1), Limit("concurrency", None, 1))
    price = Price(prompt=1000, completion=1000)
    async with reserve(world, *limits, estimate=Usage(100, 900), price=price) as reservation:
        reservation.settle(Usage(100, 0), price)
    reservation.amend(Usage(90, 60), price)
    assert reservation.settled == Usage(90, 60)
    remaining = [quota.remaining for quota in await world.limiters[0].quotas(key_with(*limits), PROJECT)]
    assert remaining == [850, pytest.approx(0.85), 1]


async def test_who_leaves_without_settling_pays_for_the_estimate() -> None:
    async with reserve(World(), estimate=Usage(100, 900)) as reservation:
        pass
    assert reservation.settled == Usage(100, 900)


async def test_a_cancelled_request_costs_nothing() -> None:
    world = World()
    limits = (Limit("requests", "minute", 1), Limit("tokens", "minute", 2))
    async with reserve(world, *limits, estimate=Usage(1, 1)) as reservation:
        reservation.cancel()
    assert await admitted(reserve(world, *limits, estimate=Usage(1, 1)))


async def test_concurrent_requests_are_bounded_until_they_end() -> None:
    world = World()
    limit = Limit("concurrency", None, 1)
    async with reserve(world, limit):
        world.now += 600
        assert not await admitted(reserve(world, limit))
    world.now += 1
    assert await admitted(reserve(world, limit))


async def test_a_rejected_request_takes_nothing_from_the_limits_that_had_room() -> None:
    world = World()
    limits = (Limit("requests", "minute", 10), Limit("tokens", "minute", 100))
    assert not await admitted(reserve(world, *limits, estimate=Usage(50, 51)))
    assert [quota.remaining for quota in await world.limiters[0].quotas(key_with(*limits), PROJECT)] == [10, 100]


async def test_a_request_beyond_the_limit_itself_will_never_be_admitted() -> None:
    with pytest.raises(Rejected) as error:
        await reserve(World(), Limit("tokens", "minute", 100), estimate=Usage(50, 51)).__aenter__()
    assert error.value.frees_in_s is None


async def test_a_project_bounds_its_keys_together() -> None:
    world = World()
    project = project_with(Limit("requests", "minute", 3))
    results = [
        await admitted(world.limiters[0].reserve(key_with(key_id=f"key_{n}"), project, model="m", estimate=ONE))
        for n in range(5)
    ]
    assert results == [True, True, True, False, False]


async def test_a_limit_on_some_models_leaves_the_others_alone() -> None:
    world = World()
    limit = Limit("requests", "minute", 1, model="big/*")
    models = ["big/one", "small", "big/two", "small"]
    assert [await admitted(reserve(world, limit, model=model)) for model in models] == [True, True, False, True]


async def test_prompt_and_completion_tokens_are_bounded_apart() -> None:
    world = World()
    limits = (Limit("prompt_tokens", "minute", 100), Limit("completion_tokens", "minute", 10))
    assert await admitted(reserve(world, *limits, estimate=Usage(90, 5)))
    assert not await admitted(reserve(world, *limits, estimate=Usage(1, 6)))
    assert not await admitted(reserve(world, *limits, estimate=Usage(11, 1)))


async def test_a_money_budget_counts_the_models_prices() -> None:
    world = World()
    limit, price = Limit("cost", "day", 1.0), Price(prompt=1.0, completion=4.0, cached=0.1)
    async with reserve(world, limit, estimate=Usage(200_000, 200_000), price=price) as reservation:
        reservation.settle(Usage(200_000, 100_000, cached_tokens=100_000))
    assert (await world.limiters[0].quotas(key_with(limit), PROJECT))[0].remaining == pytest.approx(1 - 0.51)


async def test_a_budget_begins_anew_with_the_day_in_utc() -> None:
    world = World()
    limit = Limit("tokens", "day", 10)
    assert await admitted(reserve(world, limit, estimate=Usage(10, 0)))
    with pytest.raises(Rejected) as error:
        await reserve(world, limit, estimate=Usage(1, 0)).__aenter__()
    assert error.value.kind == "budget"
    world.now += error.value.frees_in_s or 0
    assert await admitted(reserve(world, limit, estimate=Usage(10, 0)))


async def test_a_budget_is_not_won_back_by_turning_the_clock_back() -> None:
    world = World()
    limit = Limit("tokens", "day", 10)
    assert await admitted(reserve(world, limit, estimate=Usage(10, 0)))
    world.skew = -2 * DAY_S
    world.now += 1
    assert not await admitted(reserve(world, limit, estimate=Usage(1, 0)))


async def test_a_window_outlives_a_clock_that_goes_backwards() -> None:
    world = World()
    limit = Limit("requests", "minute", 1)
    assert await admitted(reserve(world, limit))
    world.now -= 500
    assert not await admitted(reserve(world, limit))


async def test_a_lowered_limit_holds_at_once() -> None:
    world = World()
    for _ in range(5):
        assert await admitted(reserve(world, Limit("requests", "minute", 10)))
    assert not await admitted(reserve(world, Limit("requests", "minute", 5)))


async def test_headers_name_the_tightest_limits_per_minute() -> None:
    world = World()
    limits = (Limit("requests", "minute", 10), Limit("tokens", "minute", 100), Limit("tokens", "day", 5000))
    async with reserve(world, *limits, estimate=Usage(5, 5)) as reservation:
        headers = dict(reservation.headers)
    assert headers == {
        b"x-ratelimit-limit-requests": b"10",
        b"x-ratelimit-remaining-requests": b"9",
        b"x-ratelimit-reset-requests": b"1m0s",
        b"x-ratelimit-limit-tokens": b"100",
        b"x-ratelimit-remaining-tokens": b"90",
        b"x-ratelimit-reset-tokens": b"1m0s",
    }


async def test_counters_that_are_no_longer_used_are_forgotten() -> None:
    world = World()
    assert await admitted(reserve(world, Limit("requests", "minute", 10)))
    await world.pass_time(70)
    assert not world.limiters[0]._counters._counters
    assert not world.coordinator._pools


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.12, "120ms"), (1, "1s"), (360, "6m0s"), (3723.4, "1h2m3s")]
)
def test_durations_are_written_as_go_writes_them(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


def test_limits_survive_storage() -> None:
    limits = parse_limits([{"of": "tokens", "per": "minute", "amount": 10}, {"of": "concurrency", "amount": 2}])
    assert load_limits(dump_limits(limits)) == limits


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"of": "bananas", "per": "minute", "amount": 1},
        {"of": "requests", "per": "fortnight", "amount": 1},
        {"of": "requests", "amount": 1},
        {"of": "concurrency", "per": "minute", "amount": 1},
        {"of": "cost", "per": "minute", "amount": 1},
        {"of": "requests", "per": "minute", "amount": -1},
        {"of": "requests", "per": "minute", "amount": 1e300},
        {"of": "requests", "per": "minute", "amount": float("inf")},
        {"of": "requests", "per": "minute", "amount": float("nan")},
        {"of": "requests", "per": "minute", "amount": 1.5},
        {"of": "requests", "per": "minute", "amount": True},
        {"of": "requests", "per": "minute", "amount": "many"},
        {"of": "requests", "per": "minute", "amount": 1, "model": ""},
        {"of": "requests", "per": "minute", "amount": 1, "model": "x" * 129},
        {"of": "requests", "per": "minute", "amount": 1, "burst": 2},
        {"of": ["requests"], "per": "minute", "amount": 1},
    ],
)
def test_an_absurd_limit_is_refused(entry: dict[str, object]) -> None:
    with pytest.raises(InvalidValue):
        parse_limits([entry])


def test_the_same_thing_is_bounded_once() -> None:
    entry = {"of": "requests", "per": "minute", "amount": 1}
    with pytest.raises(InvalidValue):
        parse_limits([entry, entry | {"amount": 2}])


async def test_a_limit_is_known_by_the_models_name_or_the_aliass_and_counts_a_request_once() -> None:
    world = World()
    limit = Limit("requests", "minute", 2, model="[ab]*")

    def asked(model: str, name: str) -> Reservation:
        return world.limiters[0].reserve(key_with(limit), PROJECT, model=model, asked=name, estimate=ONE)

    names = [("bert", "alias"), ("bert", "other"), ("mini", "alias"), ("mini", "other")]
    assert [await admitted(asked(*pair)) for pair in names] == [True, True, False, True]


async def test_a_cancelled_reservation_gives_back_its_request_of_the_minute() -> None:
    world = World()
    limit = Limit("requests", "minute", 1)
    for _ in range(5):
        async with reserve(world, limit) as reservation:
            reservation.cancel()
    assert await admitted(reserve(world, limit))


@pytest.mark.parametrize("used", [1_000_000, 3_000_000])
async def test_a_budget_of_money_used_up_or_overshot_lets_free_models_go_on(used: int) -> None:
    world = World()
    limit, price = Limit("cost", "day", 1.0), Price(completion=1.0)
    async with reserve(world, limit, estimate=Usage(0, 10), price=price) as reservation:
        reservation.settle(Usage(0, used))
    assert not await admitted(reserve(world, limit, estimate=Usage(0, 1), price=price))
    assert await admitted(reserve(world, limit, estimate=Usage(9, 9)))
