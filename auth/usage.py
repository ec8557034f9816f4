"""What a request uses, and what that costs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

_MILLION = 1_000_000

MAX_COUNT = 2**53
"""No count is larger: up to here JSON numbers are exact in every reader."""

_BYTES_PER_TOKEN = 4
"""Of English text under byte-level BPE; for texts that neither a tokenizer nor an engine has counted."""


@dataclass(frozen=True, slots=True)
class Price:
    """Money per million tokens, in whatever currency the operator counts.

    Attributes:
        cached: for prompt tokens that came from the prefix cache; ``None`` charges them as ``prompt``.
    """

    prompt: float = 0.0
    completion: float = 0.0
    cached: float | None = None

    def less(self, discount: float) -> "Price":
        """Return the price less a share of it, 0 to 1."""
        share = 1 - discount
        cached = None if self.cached is None else self.cached * share
        return Price(self.prompt * share, self.completion * share, cached)


FREE = Price()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, in the API's own words; ``cached_tokens`` are part of ``prompt_tokens``."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0

    @classmethod
    def read(cls, prompt: object, completion: object, cached: object) -> Self | None:
        """Take an engine's counts, whatever they are; what it leaves out of completion and cache counts as none.

        Returns:
            ``None`` unless each is a whole number from 0 to ``MAX_COUNT``, and no more is cached than was prompted.
        """
        counts = [whole_number(0 if value is None else value) for value in (completion, cached)]
        prompt_tokens, (completion_tokens, cached_tokens) = whole_number(prompt), counts
        if prompt_tokens is None or completion_tokens is None or cached_tokens is None or cached_tokens > prompt_tokens:
            return None
        return cls(prompt_tokens, completion_tokens, cached_tokens)

    @classmethod
    def of(cls, told: object) -> Self | None:
        """Take the counts in an object that has them by our own names; ``None`` where :meth:`read` refuses them."""
        if not isinstance(told, dict):
            return None
        return cls.read(told.get("prompt_tokens"), told.get("completion_tokens"), told.get("cached_tokens"))

    def fits(self, most: "Usage") -> bool:
        """Say whether neither count is larger than in ``most``."""
        return self.prompt_tokens <= most.prompt_tokens and self.completion_tokens <= most.completion_tokens

    def cost(self, price: Price) -> float:
        """Return what the tokens cost."""
        cached = price.prompt if price.cached is None else price.cached
        fresh_tokens = self.prompt_tokens - self.cached_tokens
        amount = fresh_tokens * price.prompt + self.cached_tokens * cached + self.completion_tokens * price.completion
        return amount / _MILLION


NOTHING = Usage()
UNBOUNDED = Usage(MAX_COUNT, MAX_COUNT)


def whole_number(value: object) -> int | None:
    """Return a JSON value as a count; ``None`` unless it is a number without fraction from 0 to ``MAX_COUNT``."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_COUNT:
        return None
    return int(value) if value == int(value) else None


def roughly(texts: Iterable[str]) -> int:
    """Return about how many tokens texts have together."""
    return -(-sum(len(text.encode()) for text in texts) // _BYTES_PER_TOKEN)
