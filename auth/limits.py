"""Limits: what may be used of what, in what time, by a key or by a project.

| ``of`` | ``per`` | bounds |
|---|---|---|
| ``requests`` | ``minute``, ``day``, ``month`` | requests admitted |
| ``tokens``, ``prompt_tokens``, ``completion_tokens`` | ``minute``, ``day``, ``month`` | tokens, together or apart |
| ``cost`` | ``day``, ``month`` | money, by the models' prices |
| ``concurrency`` | nothing | requests at one time |

A minute slides; a day and a month are the calendar's, in UTC, and are called budgets.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from fnmatch import translate
from functools import lru_cache
from typing import Any, Literal, get_args

import orjson

from auth.errors import InvalidValue
from auth.tables import NAME_LENGTH
from auth.usage import Price, Usage

Of = Literal["requests", "tokens", "prompt_tokens", "completion_tokens", "cost", "concurrency"]
Per = Literal["minute", "day", "month"]
Kind = Literal["requests", "tokens", "concurrency", "budget"]

MAX_LIMITS = 64
_MAX_AMOUNT = 1e15


@dataclass(frozen=True, slots=True)
class Limit:
    """One bound.

    Attributes:
        of: what is counted.
        per: the time in which it is counted; ``None`` for ``concurrency`` alone.
        amount: how much is allowed; 0 allows nothing.
        model: a glob over the names of models and aliases; all that it matches are counted together.
    """

    of: Of
    per: Per | None
    amount: float
    model: str = "*"

    @property
    def kind(self) -> Kind:
        """What a client is told to have run out of."""
        if self.of == "concurrency":
            return "concurrency"
        if self.per != "minute":
            return "budget"
        return "requests" if self.of == "requests" else "tokens"

    @property
    def counts_prompts(self) -> bool:
        """Whether what a request takes depends on its prompt."""
        return self.of in ("tokens", "prompt_tokens", "cost")

    def applies_to(self, names: Iterable[str]) -> bool:
        """Say whether requests count that go by these names: the model's, and the alias's that was asked for."""
        if self.model == "*":
            return True
        matches = _pattern(self.model).match
        return any(matches(name) is not None for name in names)

    def reserved(self, estimate: Usage, price: Price) -> float:
        """Return what a request takes when it is admitted."""
        return 1 if self.of == "concurrency" else self.charged(estimate, price)

    def charged(self, usage: Usage, price: Price) -> float:
        """Return what a request has taken when it is over."""
        match self.of:
            case "requests":
                return 1
            case "tokens":
                return usage.prompt_tokens + usage.completion_tokens
            case "prompt_tokens":
                return usage.prompt_tokens
            case "completion_tokens":
                return usage.completion_tokens
            case "cost":
                return usage.cost(price)
            case "concurrency":
                return 0


def parse_limits(raw: Iterable[Mapping[str, Any]]) -> tuple[Limit, ...]:
    """Return the limits that an operator wrote.

    Raises:
        InvalidValue: an unknown word, an impossible pair of ``of`` and ``per``, an absurd amount, a limit twice.
    """
    limits = tuple(_parse_limit(entry) for entry in raw)
    if len(limits) > MAX_LIMITS:
        raise InvalidValue(f"at most {MAX_LIMITS} limits")
    if len({(limit.of, limit.per, limit.model) for limit in limits}) < len(limits):
        raise InvalidValue("two limits bound the same thing")
    return limits


def dump_limits(limits: Iterable[Limit]) -> str:
    """Return the limits as the JSON text that is stored."""
    return orjson.dumps([asdict(limit) for limit in limits]).decode()


def load_limits(text: str) -> tuple[Limit, ...]:
    """Return stored limits; they were checked when they were stored."""
    return tuple(Limit(**entry) for entry in orjson.loads(text))


def _parse_limit(entry: Mapping[str, Any]) -> Limit:
    unknown = set(entry) - {"of", "per", "amount", "model"}
    if unknown:
        raise InvalidValue(f"a limit has of, per, amount and model, not {', '.join(sorted(map(repr, unknown)))}")
    of: Any = entry.get("of")
    per: Any = entry.get("per")
    amount: Any = entry.get("amount")
    model: Any = entry.get("model", "*")
    if of not in get_args(Of):
        raise InvalidValue(f"of: one of {', '.join(get_args(Of))}")
    if per not in _allowed_times(of):
        raise InvalidValue(f"per: {of} is counted per {' or '.join(map(str, _allowed_times(of)))}")
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not math.isfinite(amount):
        raise InvalidValue("amount: a number")
    if not 0 <= amount <= _MAX_AMOUNT or (of != "cost" and amount != int(amount)):
        raise InvalidValue("amount: from 0 to 10^15, and whole unless it is money")
    if not isinstance(model, str) or not 1 <= len(model) <= NAME_LENGTH or not model.isprintable():
        raise InvalidValue(f"model: a pattern of 1 to {NAME_LENGTH} printable characters")
    return Limit(of, per, amount, model)


def _allowed_times(of: str) -> tuple[str | None, ...]:
    match of:
        case "concurrency":
            return (None,)
        case "cost":
            return ("day", "month")
        case _:
            return get_args(Per)


@lru_cache(maxsize=4096)
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile(translate(glob))
