"""What the models of one request used, together."""

from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Usage:
    """Tokens, of one model or of several."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @classmethod
    def of(cls, told: dict[str, Any]) -> Self:
        """Return what an answer's ``usage`` tells; embeddings have no completion, and few engines all details."""
        prompt, completion = told.get("prompt_tokens_details") or {}, told.get("completion_tokens_details") or {}
        return cls(
            told.get("prompt_tokens") or 0,
            told.get("completion_tokens") or 0,
            prompt.get("cached_tokens") or 0,
            completion.get("reasoning_tokens") or 0,
        )

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the API's ``usage``."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning_tokens},
        }


NOTHING = Usage()
