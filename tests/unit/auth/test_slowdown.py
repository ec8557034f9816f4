from collections.abc import Callable

import pytest

from auth.slowdown import FREE_FAILURES, HALF_LIFE_S, MAX_ADDRESSES, MAX_DELAY_S, Slowdown
from tests.unit.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def slowdown(clock: Callable[[], float]) -> Slowdown:
    return Slowdown(clock)


def fail(slowdown: Slowdown, times: int, address: str = "192.0.2.1") -> list[float]:
    return [slowdown.failed(address) for _ in range(times)]


def test_a_mistyped_key_is_refused_at_once(slowdown: Slowdown) -> None:
    assert fail(slowdown, FREE_FAILURES) == [0.0] * FREE_FAILURES


def test_the_delay_grows_up_to_a_second(slowdown: Slowdown) -> None:
    delays = fail(slowdown, 100)
    assert delays == sorted(delays)
    assert 0 < delays[FREE_FAILURES] < 0.1
    assert delays[-1] == MAX_DELAY_S


def test_another_address_is_not_slowed_down(slowdown: Slowdown) -> None:
    fail(slowdown, 100)
    assert slowdown.failed("192.0.2.2") == 0


def test_failures_are_forgotten_with_time(slowdown: Slowdown, clock: Clock) -> None:
    fail(slowdown, 100)
    clock.now += 10 * HALF_LIFE_S
    assert slowdown.failed("192.0.2.1") == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [("2001:db8::1", "2001:db8::ffff:1"), ("192.0.2.1", "::ffff:192.0.2.1"), ("unix", "unix"), ("", "")],
)
def test_addresses_of_one_client_count_together(slowdown: Slowdown, one: str, other: str) -> None:
    fail(slowdown, 100, one)
    assert slowdown.failed(other) == MAX_DELAY_S


def test_its_memory_is_bounded_and_keeps_the_latest(slowdown: Slowdown) -> None:
    for number in range(MAX_ADDRESSES):
        slowdown.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    fail(slowdown, 100)
    assert len(slowdown) == MAX_ADDRESSES
    assert slowdown.failed("192.0.2.1") == MAX_DELAY_S
