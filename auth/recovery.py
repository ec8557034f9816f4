"""What the ledger knows of limits' use, for a coordinator that has lost its memory."""

import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

from sqlalchemy import Select, func, select

from auth.ledger_row import id_floor
from auth.ledger_tables import RequestRow, UsagePeriodRow
from auth.limits import Limit, Of, Per
from auth.meters import WINDOW_S
from auth.store import Store

_OWNERS = 500
"""Owners that one query asks for."""

_SUMS = ("prompt_tokens", "completion_tokens", "cost")


@dataclass(frozen=True, slots=True)
class _Asked:
    """A ``Counter.id``, read."""

    counter: str
    owner: str
    owner_id: str
    of: str
    per: str
    period: str
    limit: Limit

    @classmethod
    def of_id(cls, counter: str) -> Self:
        owner, owner_id, of, per, period, model = counter.split("|", 5)
        return cls(counter, owner, owner_id, of, per, period, Limit(cast(Of, of), cast(Per, per), 0.0, model))

    def used(self, sums: Mapping[str, Any]) -> float:
        """Return what of a model's sums this limit counts; requests that no model has taken were charged nothing."""
        if not sums["model"]:
            return 0.0
        if self.of == "tokens":
            return float((sums["prompt_tokens"] or 0) + (sums["completion_tokens"] or 0))
        return float(sums[self.of] or 0)


async def used_so_far(store: Store, counter: str) -> float:
    """Return what one counter's limit has seen used; see :func:`used_by_all`."""
    return (await used_by_all(store, [counter]))[counter]


async def used_by_all(store: Store, counters: Collection[str]) -> dict[str, float]:
    """Return what each counter's limit has seen used, in its current minute, day or month.

    One query answers for many owners of a kind and period, by the primary key.

    Args:
        store: the ledger's database.
        counters: each a ``Counter.id``.
    """
    found = dict.fromkeys(counters, 0.0)
    kinds: dict[tuple[str, str, str], list[_Asked]] = defaultdict(list)
    for asked in map(_Asked.of_id, counters):
        if asked.of != "concurrency":
            kinds[asked.owner, asked.per, asked.period].append(asked)
    for (owner, per, period), group in kinds.items():
        by_owner: dict[str, list[_Asked]] = defaultdict(list)
        for asked in group:
            by_owner[asked.owner_id].append(asked)
        owners = list(by_owner)
        for start in range(0, len(owners), _OWNERS):
            query = _query(owner, per, period, owners[start : start + _OWNERS])
            async with store.reading() as connection:
                for sums in (await connection.execute(query)).mappings():
                    for asked in by_owner[sums["owner_id"]]:
                        if asked.limit.applies_to((sums["model"], sums["model_asked"])):
                            found[asked.counter] += asked.used(sums)
    return found


def _query(owner: str, per: str, period: str, owners: Sequence[str]) -> Select[Any]:
    """Return the sums of some owners by model, within the last minute, or within a day or month by its name."""
    if per == "minute":
        column = RequestRow.key_id if owner == "key" else RequestRow.project_id
        models = (RequestRow.model, RequestRow.model_asked)
        sums = (func.count().label("requests"), *(func.sum(getattr(RequestRow, name)).label(name) for name in _SUMS))
        query = select(column.label("owner_id"), *models, *sums).group_by(column, *models)
        return query.where(column.in_(owners), RequestRow.id >= id_floor(time.time() - WINDOW_S))
    of = UsagePeriodRow
    query = select(of.owner_id, of.model, of.model_asked, of.requests, *(getattr(of, name) for name in _SUMS))
    return query.where(of.period == period, of.owner == owner, of.owner_id.in_(owners))
