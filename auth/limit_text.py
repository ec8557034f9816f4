"""Limits in one line each: ``requests/minute=60``, ``concurrency=4``, ``money/month=10@gpt-*``."""

import re
from collections.abc import Collection, Iterable

from auth.errors import InvalidValue
from auth.limits import Limit, parse_limits

_MONEY = "money"
"""What people call ``cost``."""

_LIMIT = re.compile(r"(?P<of>\w+)(?:/(?P<per>\w+))?=(?P<amount>[0-9_.eE+]+)(?:@(?P<model>.+))?")
_BOUND = re.compile(r"(?P<of>\w+)(?:/(?P<per>\w+))?(?:@(?P<model>.+))?")


def read_limits(texts: Iterable[str]) -> tuple[Limit, ...]:
    """Return the limits that an operator wrote.

    Raises:
        InvalidValue: a text is none, or stands for an impossible limit; see ``parse_limits``.
    """
    return parse_limits(_fields(text) for text in texts)


def write_limit(limit: Limit) -> str:
    """Return the text that ``read_limits`` reads as this limit."""
    amount = f"{limit.amount:.0f}" if limit.amount == int(limit.amount) else repr(limit.amount)
    return f"{_bound(limit.of, limit.per)}={amount}{_models(limit.model)}"


def warnings_of(limits: Iterable[Limit], known: Collection[str]) -> list[str]:
    """Return a sentence on each limit that bounds nothing, since none of the ``known`` models and aliases has its name.

    A model may be configured later: so it is no mistake.
    """
    return [
        f"{write_limit(limit)} bounds nothing: no model or alias is called {limit.model!r}."
        for limit in limits
        if not limit.applies_to(known)
    ]


def names(text: str, limit: Limit) -> bool:
    """Say whether a text like ``requests/minute`` or ``money/month@gpt-*`` means this limit, whatever its amount.

    Raises:
        InvalidValue: the text is none.
    """
    match = _BOUND.fullmatch(text)
    if match is None:
        raise InvalidValue("name a limit as requests/minute or money/month@gpt-*")
    found = (_of(match["of"]), match["per"], match["model"] or "*")
    return found == (limit.of, limit.per, limit.model)


def _fields(text: str) -> dict[str, object]:
    match = _LIMIT.fullmatch(text)
    try:
        amount = float(match["amount"]) if match else None
    except ValueError:
        amount = None
    if match is None or amount is None:
        raise InvalidValue("write a limit as requests/minute=60, concurrency=4 or money/month=10@gpt-*")
    return {"of": _of(match["of"]), "per": match["per"], "amount": amount, "model": match["model"] or "*"}


def _of(word: str) -> str:
    return "cost" if word == _MONEY else word


def _bound(of: str, per: str | None) -> str:
    word = _MONEY if of == "cost" else of
    return word if per is None else f"{word}/{per}"


def _models(model: str) -> str:
    return "" if model == "*" else f"@{model}"
