"""From tokens to text that may be shown: never half a character, never the beginning of a stop string."""

from collections.abc import Callable, Sequence

UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What a decoder puts where bytes do not make a character yet."""

CONTEXT_TOKENS = 5
"""Prompt tokens that are decoded with the first new ones: some tokenizers treat the start of a text differently."""


class Detokenizer:
    """Decodes token by token, a small window at a time; the text is that of decoding everything at once."""

    def __init__(self, decode: Callable[[list[int]], str], prompt: Sequence[int] = ()) -> None:
        self._decode = decode
        self._tokens = list(prompt[-CONTEXT_TOKENS:])
        self._window = 0
        self._shown = len(self._tokens)

    def push(self, token: int) -> str:
        """Return the characters that this token completes."""
        self._tokens.append(token)
        text = self._unshown()
        if not text or text.endswith(UNFINISHED):
            return ""
        self._window, self._shown = self._shown, len(self._tokens)
        return text

    def flush(self) -> str:
        """Return what is still held, without the character that will never be finished."""
        return self._unshown().rstrip(UNFINISHED)

    def _unshown(self) -> str:
        shown = self._decode(self._tokens[self._window : self._shown])
        return self._decode(self._tokens[self._window :])[len(shown) :]


class StopStrings:
    """Lets text through up to the first stop string, and holds back what could become one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self.found = False

    def push(self, text: str) -> str:
        """Return the text that may be shown now."""
        self._held += text
        places = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        self.found = bool(places)
        cut = min(places) if places else len(self._held) - could_begin(self._held, self._stops)
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown

    def flush(self) -> str:
        """Return what was held back in vain."""
        held, self._held = self._held, ""
        return held


def could_begin(text: str, words: Sequence[str]) -> int:
    """Return the length of the longest end of a text with which one of the words begins."""
    longest = min(len(text), max(map(len, words), default=1) - 1)
    for length in range(longest, 0, -1):
        if any(word.startswith(text[-length:]) for word in words):
            return length
    return 0
