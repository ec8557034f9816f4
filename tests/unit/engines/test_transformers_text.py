"""Text leaves in whole characters and without stop strings, however the tokens cut it."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from engines.transformers.text import Detokenizer, StopStrings


def decode_bytes(tokens: list[int]) -> str:
    """A vocabulary of the 256 bytes."""
    return bytes(tokens).decode(errors="replace")


def parts_of(text: str, cuts: list[int]) -> list[str]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[start:end] for start, end in itertools.pairwise(places)]


texts = st.text(st.characters(exclude_characters="\N{REPLACEMENT CHARACTER}", exclude_categories=["Cs"]))


@given(texts, st.text("abc"))
def test_token_by_token_gives_the_text_of_all_tokens(text: str, prompt: str) -> None:
    detokenizer = Detokenizer(decode_bytes, list(prompt.encode()))

    pieces = [detokenizer.push(byte) for byte in text.encode()]

    assert "".join(pieces) + detokenizer.flush() == text


@given(texts)
def test_no_piece_holds_a_part_of_a_character(text: str) -> None:
    detokenizer = Detokenizer(decode_bytes)

    pieces = [detokenizer.push(byte) for byte in text.encode()]

    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


def test_a_character_cut_off_by_the_end_is_left_out() -> None:
    detokenizer = Detokenizer(decode_bytes)

    pieces = [detokenizer.push(byte) for byte in "né".encode()[:-1]]

    assert "".join(pieces) + detokenizer.flush() == "n"


stops = st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=4)


@given(st.text("ab\n"), st.lists(st.integers(0, 100)), stops)
def test_no_stop_string_is_ever_shown(text: str, cuts: list[int], stops: list[str]) -> None:
    stopping = StopStrings(stops)
    shown = ""

    for part in parts_of(text, cuts):
        shown += stopping.push(part)
        if stopping.found:
            break
    else:
        shown += stopping.flush()

    assert text.startswith(shown)
    assert not any(stop in shown for stop in stops)
    assert stopping.found == any(stop in text for stop in stops)


@given(st.text("ab\n"), st.lists(st.integers(0, 100)), stops)
def test_only_what_could_become_a_stop_string_is_held_back(text: str, cuts: list[int], stops: list[str]) -> None:
    stopping = StopStrings(stops)
    shown = ""

    for part in parts_of(text, cuts):
        shown += stopping.push(part)

    held = text[len(shown) :]
    assert stopping.found or not held or any(stop.startswith(held) for stop in stops)


def test_text_that_began_like_a_stop_string_comes_out_when_it_is_none() -> None:
    stopping = StopStrings(["END"])

    assert [stopping.push(part) for part in ("the E", "N", "V")] == ["the ", "", "ENV"]
