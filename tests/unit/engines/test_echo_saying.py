"""What an echo says."""

import pytest

from engines.echo.saying import Saying

WORDS = ["one", "two", "three"]


def test_it_says_its_words_over_and_over() -> None:
    saying = Saying(WORDS, 5)
    assert saying.text() == "one two three one two"
    assert saying.finish_reason == "length"


def test_without_words_it_says_echo() -> None:
    assert Saying([], 2).text() == "echo echo"


@pytest.mark.parametrize(
    ("stop", "text", "tokens"),
    [
        ("two", "one ", 2),
        (" two", "one", 1),
        ("ree", "one two th", 3),
        ("three one", "one two ", 3),
        ("one", "", 0),
    ],
)
def test_it_ends_before_a_stop_text(stop: str, text: str, tokens: int) -> None:
    saying = Saying(WORDS, 50, [stop, "never"])
    assert (saying.text(), saying.tokens, saying.finish_reason) == (text, tokens, "stop")


def test_a_stop_text_behind_its_last_token_does_not_count() -> None:
    saying = Saying(WORDS, 2, ["three"])
    assert (saying.text(), saying.finish_reason) == ("one two", "length")


def test_a_stop_text_that_never_comes_costs_no_time() -> None:
    assert Saying(WORDS, 2**31, ["never"]).tokens == 2**31
