"""A choice shows what is final, ends when it should, and tells each token's log probability once."""

from typing import Any

from engines.transformers.sampling import Sampled, SamplingParams
from engines.transformers.sequence import Limits, Piece, Sequence

EOS = 0


def decode(tokens: list[int]) -> str:
    return bytes(tokens).decode(errors="replace")


def sequence(max_tokens: int = 100, **limits: Any) -> Sequence:
    return Sequence(
        0,
        (65, 66),
        SamplingParams(logprobs=0),
        Limits(max_tokens, **limits),
        seed=None,
        decode=decode,
        eos_token_ids=frozenset({EOS}),
    )


def said(choice: Sequence, text: str) -> list[Piece]:
    return [choice.append(Sampled(token, -1.0)) for token in text.encode()]


def told(pieces: list[Piece]) -> str:
    return decode([sampled.token for piece in pieces for sampled, _ in piece.logprobs])


def test_the_model_ends_an_answer() -> None:
    choice = sequence()

    pieces = [*said(choice, "hi"), choice.append(Sampled(EOS, -1.0))]

    assert [piece.text for piece in pieces] == ["h", "i", ""]
    assert pieces[-1].finish_reason == "stop"
    assert told(pieces) == "hi"
    assert choice.finished


def test_an_answer_that_reaches_its_length_says_so() -> None:
    pieces = said(sequence(max_tokens=2), "hi")

    assert [piece.finish_reason for piece in pieces] == [None, "length"]


def test_a_stop_string_ends_an_answer_without_being_shown() -> None:
    pieces = said(sequence(stop=("END",)), "the END")

    assert "".join(piece.text for piece in pieces) == "the "
    assert pieces[-1].finish_reason == "stop"
    assert told(pieces) == "the "


def test_what_was_held_back_in_vain_comes_with_the_end() -> None:
    pieces = said(sequence(max_tokens=5, stop=("END",)), "my EN")

    assert "".join(piece.text for piece in pieces) == "my EN"
    assert told(pieces) == "my EN"


def test_logprobs_travel_with_the_text_in_which_their_token_begins() -> None:
    pieces = said(sequence(stop=("END",)), "aEx")

    assert [told([piece]) for piece in pieces] == ["a", "", "Ex"]
    assert [offset for piece in pieces for _, offset in piece.logprobs] == [0, 1, 2]


def test_a_character_of_several_tokens_comes_as_one() -> None:
    pieces = said(sequence(), "é!")

    assert [piece.text for piece in pieces] == ["", "é", "!"]
    assert told(pieces) == "é!"


def test_the_models_wish_to_end_can_be_ignored() -> None:
    choice = sequence(max_tokens=2, ignore_eos=True)

    assert choice.append(Sampled(EOS)).finish_reason is None


def test_a_choice_of_no_tokens_ends_at_once() -> None:
    choice = sequence(max_tokens=0)

    piece = choice.append(Sampled(65))

    assert (piece.text, piece.finish_reason, choice.tokens) == ("", "length", [])
