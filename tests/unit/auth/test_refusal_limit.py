import pytest

from auth.refusal_limit import MAX_KEYS, RefusalLimit
from tests.unit.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limit(clock: Clock) -> RefusalLimit:
    return RefusalLimit(60, clock)


def refuse(limit: RefusalLimit, times: int, key: str = "key_1") -> None:
    for _ in range(times):
        limit.refused(key)


def test_a_key_that_was_never_refused_is_heard(limit: RefusalLimit) -> None:
    assert limit.wait_s("key_1") == 0


def test_a_minutes_worth_may_come_at_once_and_no_more(limit: RefusalLimit) -> None:
    refuse(limit, 59)
    assert limit.wait_s("key_1") == 0
    refuse(limit, 1)
    assert limit.wait_s("key_1") == pytest.approx(1)


def test_time_makes_room_for_one_after_the_other(limit: RefusalLimit, clock: Clock) -> None:
    refuse(limit, 60)
    clock.now += 1
    assert limit.wait_s("key_1") == 0
    refuse(limit, 1)
    assert limit.wait_s("key_1") == pytest.approx(1)


def test_many_refused_at_once_leave_no_debt(limit: RefusalLimit) -> None:
    refuse(limit, 5_000)
    assert limit.wait_s("key_1") == pytest.approx(1)


def test_other_keys_are_heard(limit: RefusalLimit) -> None:
    refuse(limit, 100)
    assert limit.wait_s("key_2") == 0


def test_its_memory_is_bounded_and_keeps_the_latest(limit: RefusalLimit) -> None:
    for number in range(MAX_KEYS):
        limit.refused(f"key_{number}")
    refuse(limit, 60, "key_last")
    assert len(limit) == MAX_KEYS
    assert limit.wait_s("key_last") > 0
