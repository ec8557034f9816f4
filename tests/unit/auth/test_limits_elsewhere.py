"""What one replica knows of a limit that others have used, or that it has forgotten itself."""

from auth.limits import Limit
from auth.reservation import Reservation
from auth.usage import FREE, Price, Usage
from tests.unit.auth.simulation import ONE, World, admitted, key_with, project_with

PROJECT = project_with()


def reserve(world: World, limit: Limit, *, estimate: Usage = ONE, price: Price = FREE) -> Reservation:
    return world.limiters[0].reserve(key_with(limit), PROJECT, model="m", estimate=estimate, price=price)


async def test_a_late_charge_finds_its_counter_though_nothing_was_reserved_and_long_forgotten() -> None:
    world = World()
    limit, price = Limit("cost", "day", 5.0), Price(completion=1_000_000)
    async with reserve(world, limit, estimate=Usage(1, 1)) as reservation:
        reservation.settle(Usage())
    await world.pass_time(120)
    reservation.amend(Usage(0, 4), price)
    assert (await world.limiters[0].quotas(key_with(limit), PROJECT))[0].remaining == 1


async def test_other_replicas_learn_of_a_late_charge_though_nobody_asks_again() -> None:
    world = World(replicas=2)
    limit, price = Limit("cost", "day", 5.0), Price(completion=1_000_000)
    async with reserve(world, limit, estimate=Usage(1, 1)) as reservation:
        reservation.settle(Usage())
    await world.pass_time(120)
    reservation.amend(Usage(0, 4), price)
    await world.pass_time(1)
    other, price = world.limiters[1], Price(prompt=1_000_000)
    more = [other.reserve(key_with(limit), PROJECT, model="m", estimate=ONE, price=price) for _ in range(2)]
    assert [await admitted(one) for one in more] == [True, False]


async def test_a_replica_that_has_nothing_to_do_shows_what_others_have_used() -> None:
    world = World(replicas=2)
    limit = Limit("tokens", "day", 100)
    async with reserve(world, limit, estimate=Usage(40, 0)) as reservation:
        reservation.settle(Usage(40, 0))
    await world.pass_time(2)
    for _ in range(5):
        world.now += 0.01
        assert (await world.limiters[1].quotas(key_with(limit), PROJECT))[0].remaining == 60
        await world.pass_time(30)
