import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auth.limiter import LONG_PATIENCE_S, _bounds
from auth.limits import Limit
from auth.rejection import Rejected
from auth.usage import Price, Usage
from tests.unit.auth.simulation import ONE, World, admitted, key_with, most_in_a_minute, project_with

PROJECT = project_with()


async def drive(world: World, limit: Limit, estimate: Usage, *, per_second: float, seconds: float) -> list[float]:
    """Send requests to random replicas at a rate; return the times at which one was admitted."""
    dice, key, times = random.Random(7), key_with(limit), []
    step_s = 1 / per_second
    next_report, end = world.now, world.now + seconds
    while world.now < end:
        world.now += step_s
        if world.now >= next_report:
            next_report = world.now + 0.1
            for limiter in world.limiters:
                await limiter.report()
        limiter = dice.choice(world.limiters)
        if await admitted(limiter.reserve(key, PROJECT, model="m", estimate=estimate)):
            times.append(world.now)
    return times


def perfect(limit: float, amount: float, *, per_second: float, seconds: float) -> int:
    """The reference: how many requests one counter that knows everything would admit."""
    times: list[float] = []
    for number in range(round(seconds * per_second)):
        now = number / per_second
        within = sum(1 for time in times[-round(limit / amount) :] if time > now - 60)
        if (within + 1) * amount <= limit:
            times.append(now)
    return len(times)


async def test_four_replicas_at_five_times_the_limit_never_exceed_it_and_waste_little() -> None:
    world = World(replicas=4)
    times = await drive(world, Limit("requests", "minute", 120), ONE, per_second=10, seconds=600)
    assert most_in_a_minute((time, 1) for time in times) <= 120
    assert len(times) >= 0.95 * perfect(120, 1, per_second=10, seconds=600)


async def test_four_replicas_share_a_token_limit_without_wasting_it_on_leftovers() -> None:
    world = World(replicas=4)
    times = await drive(world, Limit("tokens", "minute", 20_000), Usage(200, 300), per_second=3.4, seconds=600)
    assert most_in_a_minute((time, 500) for time in times) <= 20_000
    assert len(times) >= 0.95 * perfect(20_000, 500, per_second=3.4, seconds=600)


async def test_what_one_replica_does_not_use_is_there_for_another_at_once() -> None:
    world = World(replicas=2)
    first, second = world.limiters
    key = key_with(Limit("requests", "minute", 100))
    assert all([await admitted(first.reserve(key, PROJECT, model="m", estimate=ONE)) for _ in range(40)])
    await world.pass_time(0.3)
    results = [await admitted(second.reserve(key, PROJECT, model="m", estimate=ONE)) for _ in range(80)]
    assert results == [True] * 60 + [False] * 20


async def test_slots_for_concurrent_requests_move_to_where_they_are_needed() -> None:
    world = World(replicas=4)
    key = key_with(Limit("concurrency", None, 8))
    for limiter in world.limiters:
        reservations = [limiter.reserve(key, PROJECT, model="m", estimate=ONE) for _ in range(9)]
        assert [await admitted(reservation) for reservation in reservations] == [True] * 8 + [False]
        for reservation in reservations[:8]:
            reservation.settle(ONE)
        await world.pass_time(0.2)


async def test_a_new_coordinator_learns_from_the_replicas_what_is_in_use() -> None:
    world = World(replicas=2)
    key = key_with(Limit("requests", "minute", 10))
    for _ in range(10):
        assert await admitted(world.limiters[0].reserve(key, PROJECT, model="m", estimate=ONE))
    world.coordinator = type(world.coordinator)()
    await world.pass_time(0.3)
    assert not await admitted(world.limiters[1].reserve(key, PROJECT, model="m", estimate=ONE))


async def test_without_a_coordinator_each_replica_goes_on_with_an_equal_share() -> None:
    world = World(replicas=4)
    await world.pass_time(1)
    world.alive = False
    await world.pass_time(1)
    key = key_with(Limit("requests", "minute", 100))
    results = [
        await admitted(limiter.reserve(key, PROJECT, model="m", estimate=ONE))
        for limiter in world.limiters
        for _ in range(50)
    ]
    assert sum(results) == 100


async def test_one_outage_of_the_coordinator_stays_below_twice_the_limit() -> None:
    world = World(replicas=4)
    times = await drive(world, Limit("requests", "minute", 120), ONE, per_second=10, seconds=70)
    world.alive = False
    times += await drive(world, Limit("requests", "minute", 120), ONE, per_second=10, seconds=30)
    world.alive = True
    times += await drive(world, Limit("requests", "minute", 120), ONE, per_second=10, seconds=70)
    assert most_in_a_minute((time, 1) for time in times) < 240


async def test_what_a_dead_replica_had_used_counts_for_its_minute() -> None:
    world = World(replicas=2)
    dying, living = world.limiters
    key = key_with(Limit("requests", "minute", 10))
    for _ in range(10):
        assert await admitted(dying.reserve(key, PROJECT, model="m", estimate=ONE))
    await world.pass_time(0.2)
    world.limiters = [living]
    await world.pass_time(50)
    assert not await admitted(living.reserve(key, PROJECT, model="m", estimate=ONE))
    await world.pass_time(20)
    assert await admitted(living.reserve(key, PROJECT, model="m", estimate=ONE))


async def test_the_slots_of_a_dead_replica_are_free_soon() -> None:
    world = World(replicas=2)
    dying, living = world.limiters
    key = key_with(Limit("concurrency", None, 1))
    assert await admitted(dying.reserve(key, PROJECT, model="m", estimate=ONE))
    await world.pass_time(0.2)
    world.limiters = [living]
    await world.pass_time(6)
    assert await admitted(living.reserve(key, PROJECT, model="m", estimate=ONE))


STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),  # which replica
        st.sampled_from([0.0, 0.01, 0.1, 0.7, 5.0, 31.0, 61.0]),  # seconds that pass before
        st.integers(1, 12),  # tokens that are asked for
        st.integers(0, 12),  # tokens that are used, when the next step begins
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, limit=st.integers(5, 40))
async def test_whatever_happens_replicas_together_stay_within_the_limit(
    steps: list[tuple[int, float, int, int]], limit: int
) -> None:
    world = World(replicas=3)
    key = key_with(Limit("completion_tokens", "minute", limit))
    used: list[tuple[float, float]] = []
    for replica, pause_s, asked, taken in steps:
        world.now += pause_s
        await world.limiters[replica - 1].report()
        reservation = world.limiters[replica].reserve(key, PROJECT, model="m", estimate=Usage(0, asked))
        if await admitted(reservation):
            used.append((world.now, asked))
            assert most_in_a_minute(used) <= limit
            reservation.settle(Usage(0, min(taken, asked)))
            used[-1] = (world.now, min(taken, asked))
    assert most_in_a_minute(used) <= limit


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, limit=st.integers(5, 40))
async def test_one_replica_admits_exactly_what_the_reference_does(
    steps: list[tuple[int, float, int, int]], limit: int
) -> None:
    world = World(replicas=1)
    key = key_with(Limit("completion_tokens", "minute", limit))
    used: list[tuple[float, float]] = []
    for _, pause_s, asked, taken in steps:
        world.now += pause_s + 0.5  # longer than a denial is believed
        buckets = [(time, amount) for time, amount in used if (time // 0.5 + 1) * 0.5 + 60 > world.now]
        expected = sum(amount for _, amount in buckets) + asked <= limit
        reservation = world.limiters[0].reserve(key, PROJECT, model="m", estimate=Usage(0, asked))
        assert await admitted(reservation) is expected
        if expected:
            reservation.settle(Usage(0, min(taken, asked)))
            used.append((world.now, min(taken, asked)))


async def test_who_waits_for_one_limit_keeps_its_room_in_the_others() -> None:
    world = World(replicas=2)
    first, second = world.limiters
    key, price = key_with(Limit("requests", "minute", 3), Limit("cost", "month", 100)), Price(completion=1000)
    cheap = Usage(10, 5)
    assert await admitted(first.reserve(key, PROJECT, model="m", estimate=cheap, price=price))
    world.silent.add("replica-0")  # it holds the rest of the minute's requests, and is slow to give them back
    with pytest.raises(Rejected) as rejected:
        await second.reserve(key, PROJECT, model="m", estimate=cheap, price=price).__aenter__()
    assert rejected.value.limit.of == "requests"
    world.silent.clear()
    await world.pass_time(0.5)
    assert await admitted(second.reserve(key, PROJECT, model="m", estimate=cheap, price=price))


async def test_room_that_a_busy_replica_holds_is_waited_for() -> None:
    world = World(replicas=2)
    holder, other = world.limiters
    key = key_with(Limit("requests", "minute", 3))
    assert await admitted(holder.reserve(key, PROJECT, model="m", estimate=ONE))
    world.busy_until[holder] = world.now + 1.5
    results = [await admitted(other.reserve(key, PROJECT, model="m", estimate=ONE)) for _ in range(3)]
    assert results == [True, True, False]


async def test_the_wait_for_a_busy_replica_is_bounded() -> None:
    world = World(replicas=2)
    holder, other = world.limiters
    key = key_with(Limit("requests", "minute", 3))
    assert await admitted(holder.reserve(key, PROJECT, model="m", estimate=ONE))
    asked_at = world.now
    world.busy_until[holder] = asked_at + 60
    with pytest.raises(Rejected) as rejected:
        await other.reserve(key, PROJECT, model="m", estimate=ONE).__aenter__()
    assert LONG_PATIENCE_S <= world.now - asked_at < LONG_PATIENCE_S + 0.2
    assert rejected.value.frees_in_s == 1
    assert not await admitted(other.reserve(key, PROJECT, model="m", estimate=ONE))
    assert world.now - asked_at < LONG_PATIENCE_S + 0.2  # whoever comes right after is not kept waiting


async def test_who_has_heard_that_others_wait_and_keeps_its_room_is_not_waited_for_long() -> None:
    world = World(replicas=2)
    holder, other = world.limiters
    key = key_with(Limit("requests", "minute", 3))
    assert await admitted(holder.reserve(key, PROJECT, model="m", estimate=ONE))

    async def keep_asking_of_the_holder(seconds: float) -> None:
        holder._counters.note(holder._counters.find(_bounds(key, PROJECT), "m", world.now), [1])
        await world.pass_time(seconds)

    other._pause = keep_asking_of_the_holder
    asked_at = world.now
    assert not await admitted(other.reserve(key, PROJECT, model="m", estimate=ONE))
    assert world.now - asked_at < 0.7


async def test_a_slow_coordinator_is_waited_for_and_nothing_is_overshot() -> None:
    world = World(replicas=2)
    first, second = world.limiters
    await world.pass_time(0.2)
    world.slow_until = world.now + 1.5
    key = key_with(Limit("requests", "minute", 3))
    results = [await admitted(one.reserve(key, PROJECT, model="m", estimate=ONE)) for one in (first, second) * 2]
    assert results == [True, True, True, False]
    assert (first.degraded, second.degraded) == (None, None)


async def test_a_coordinator_that_is_slow_for_long_counts_as_away() -> None:
    world = World(replicas=2)
    await world.pass_time(0.2)
    world.slow_until = world.now + 60
    await world.pass_time(LONG_PATIENCE_S + 0.2)
    assert "does not answer" in (world.limiters[0].degraded or "")


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.integers(0, 2),  # which replica is asked
            st.lists(st.floats(0, 1.3), min_size=3, max_size=3),  # for how long each of the others is busy
            st.integers(1, 6),  # tokens that are asked for
            st.integers(0, 6),  # tokens that are used
        ),
        max_size=25,
    ),
    limit=st.integers(1, 12),
)
async def test_busy_replicas_together_admit_exactly_what_one_counter_would(
    steps: list[tuple[int, list[float], int, int]], limit: int
) -> None:
    world = World(replicas=3)
    key = key_with(Limit("completion_tokens", "month", limit))
    used = 0
    for replica, busy_s, asked, taken in steps:
        await world.pass_time(0.3)  # what was used is known, and no denial is believed any more
        asker = world.limiters[replica]
        world.busy_until = {
            other: world.now + s for other, s in zip(world.limiters, busy_s, strict=True) if other is not asker
        }
        reservation = asker.reserve(key, PROJECT, model="m", estimate=Usage(0, asked))
        assert await admitted(reservation) is (used + asked <= limit)
        if used + asked <= limit:
            used += min(taken, asked)
            reservation.settle(Usage(0, min(taken, asked)))
        world.busy_until = {}
