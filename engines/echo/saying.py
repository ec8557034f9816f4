"""What one choice says: its words over and over, up to a number of tokens or to a stop text."""

from collections.abc import Sequence
from typing import Literal

FinishReason = Literal["stop", "length"]


class Saying:
    """The tokens of one choice, one word each.

    Attributes:
        tokens: how many there are.
        finish_reason: why there are no more.
    """

    def __init__(self, words: Sequence[str], tokens: int, stops: Sequence[str] = ()) -> None:
        self._words = words or ["echo"]
        self._last: str | None = None
        self.tokens = tokens
        self.finish_reason: FinishReason = "length"
        if stops:
            self._stop_at(stops)

    def token(self, place: int) -> str:
        """Return the text of one token."""
        if self._last is not None and place == self.tokens - 1:
            return self._last
        word = self._words[place % len(self._words)]
        return word if place == 0 else f" {word}"

    def text(self) -> str:
        """Return the text of all tokens."""
        return "".join(map(self.token, range(self.tokens)))

    def _stop_at(self, stops: Sequence[str]) -> None:
        """End before the first stop text; what is not in the first rounds is in no later one."""
        rounds = 2 * len(self._words) + max(map(len, stops))
        text = "".join(map(self.token, range(min(self.tokens, rounds))))
        ends = [end for stop in stops if (end := text.find(stop)) >= 0]
        if not ends:
            return
        said, place = text[: min(ends)], 0
        while said:
            token = self.token(place)
            last, said, place = said[: len(token)], said[len(token) :], place + 1
            self._last = last
        self.tokens, self.finish_reason = place, "stop"
