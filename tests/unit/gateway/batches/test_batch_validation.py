"""An input is looked at in bounded steps, off the event loop, and its batch can end between any two of them."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gateway.batches.validation import Findings, validate
from gateway.routing.models import ModelTable
from tests.unit.gateway.batches.conftest import House, Opened, line

BLANKS = {"alone": b"", "spaces": b" " * 10_000, "tabs and returns": b"\t \r" * 100}


def after(looks: int) -> Callable[[], bool]:
    """Return what says that a batch is over once it has been asked so many times."""
    asked = iter(range(looks))
    return lambda: next(asked, None) is None


async def look(house: House, *lines: Any, is_over: Callable[[], bool] = lambda: False) -> Findings | None:
    return await validate(house.services, house.key, await house.batch(*lines), is_over)


async def test_blank_lines_of_any_kind_are_no_lines_and_cost_as_many(open_house: Opened) -> None:
    house = await open_house(max_lines=1_000)
    for blank in BLANKS.values():
        found = await look(house, line("one"), *[blank] * 900, line("two"))
        assert found == Findings(total=2, models={"echo"})
        many = await look(house, line("one"), *[blank] * 1_000, line("two"))
        assert many is not None and [mistake.code for mistake in many.mistakes] == ["too_many_lines"]


async def test_a_batch_of_blank_lines_can_end_while_they_are_looked_at(house: House) -> None:
    for blank in BLANKS.values():
        assert await look(house, *[blank] * 5_000, is_over=after(2)) is None


async def test_an_input_is_looked_at_in_bounded_steps(house: House) -> None:
    short, long = [line(str(number)) for number in range(1_000)], b" " * 60_000
    for lines, steps in ((short, 1_000 // 128), ([long] * 20, 20 // 2)):
        assert await look(house, *lines, is_over=after(steps)) is None


async def test_lines_are_parsed_off_the_event_loop(house: House) -> None:
    seen: set[threading.Thread] = set()

    class Watched(ModelTable):
        def asked_for(self, model: str | None) -> str:
            seen.add(threading.current_thread())
            return super().asked_for(model)

    watched = Watched.of(house.services.settings)
    watched_house = replace(house, services=replace(house.services, models=watched))
    assert await look(watched_house, line("one"), line("two")) == Findings(total=2, models={"echo"})
    assert seen and threading.main_thread() not in seen


async def test_mistakes_are_told_by_the_lines_numbers_blank_ones_counted(house: House) -> None:
    found = await look(house, b"", line("one"), b"  ", b"{", line("one"))
    assert found is not None
    told = [(mistake.code, mistake.line) for mistake in found.mistakes]
    assert told == [("invalid_json", 4), ("duplicate_custom_id", 5)]


async def test_a_hundred_mistakes_are_enough(house: House) -> None:
    found = await look(house, *[b"{"] * 5_000)
    assert found is not None and len(found.mistakes) == 100


async def test_an_input_of_blank_lines_alone_has_no_lines(house: House) -> None:
    found = await look(house, *[b""] * 300)
    assert found is not None and [mistake.code for mistake in found.mistakes] == ["empty_file"]
