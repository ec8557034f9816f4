"""What a request uses, and what that costs."""

from dataclasses import dataclass

_MILLION = 1_000_000


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

    def cost(self, price: Price) -> float:
        """Return what the tokens cost."""
        cached = price.prompt if price.cached is None else price.cached
        fresh_tokens = self.prompt_tokens - self.cached_tokens
        amount = fresh_tokens * price.prompt + self.cached_tokens * cached + self.completion_tokens * price.completion
        return amount / _MILLION


NOTHING = Usage()
