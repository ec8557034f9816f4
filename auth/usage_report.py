"""What was used, from the hourly sums: a month of ten million requests answers in well under a second."""

import base64
import binascii
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import orjson
from sqlalchemy import SQLColumnExpression, func, select, tuple_

from auth.errors import InvalidValue
from auth.ledger_tables import UsageHourRow
from auth.periods import period_of
from auth.store import Store

GroupBy = Literal["key", "project", "model", "day", "hour"]

MAX_PAGE = 1000
_HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class UsageSum:
    """The sums of one group.

    Attributes:
        group: the values of what was grouped by; ``day`` and ``hour`` are their starts in seconds since the epoch.
        errors: requests with a status of 400 and above, or lost.
    """

    group: dict[str, str | int]
    requests: int
    errors: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost: float


@dataclass(frozen=True, slots=True)
class UsagePage:
    """Some groups, and the cursor to go on with; ``None`` when there are no more."""

    sums: list[UsageSum]
    next_cursor: str | None


def this_month(since: float | None, until: float | None) -> tuple[float, float]:
    """Return the bounds of a time; where they are left open, those of this month so far."""
    now = time.time()
    return period_of("month", now).starts_at if since is None else since, now if until is None else until


async def usage(
    store: Store,
    *,
    since: float,
    until: float,
    group_by: Sequence[GroupBy] = (),
    key: str | None = None,
    project: str | None = None,
    model: str | None = None,
    cursor: str | None = None,
    limit: int = 100,
) -> UsagePage:
    """Sum what was used by requests that began in a time.

    Args:
        store: the database.
        since, until: seconds since the epoch; whole hours count, from that of ``since`` up to before ``until``.
        group_by: any of ``key``, ``project``, ``model``, ``day``, ``hour``; nothing gives one sum of all.
        key, project: ids; only their requests.
        model: only requests that it answered.
        cursor: of the page before.
        limit: groups on a page, up to 1000.

    Raises:
        InvalidValue: an unknown group, a cursor that is none, a limit out of bounds.
    """
    if not set(group_by) <= set(get_args(GroupBy)) or len(set(group_by)) < len(group_by):
        raise InvalidValue(f"group_by: any of {', '.join(get_args(GroupBy))}, each once")
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidValue(f"limit: 1 to {MAX_PAGE}")
    groups = [_column(name) for name in group_by]
    sums = [func.coalesce(func.sum(column), 0) for column in _SUMMED]
    query = select(*groups, *sums).where(UsageHourRow.hour >= int(since // _HOUR_S))
    query = query.where(UsageHourRow.hour * _HOUR_S < until)
    filters = ((UsageHourRow.key_id, key), (UsageHourRow.project_id, project), (UsageHourRow.model, model))
    query = query.where(*(column == value for column, value in filters if value is not None))
    if groups:
        query = query.group_by(*groups).order_by(*groups).limit(limit + 1)
    if groups and cursor is not None:
        query = query.where(tuple_(*groups) > tuple_(*_decode(cursor, group_by)))
    async with store.reading() as connection:
        rows = (await connection.execute(query)).all()
    page = [_sum_of(row, group_by) for row in rows[:limit]]
    last = list(rows[limit - 1][: len(groups)]) if groups and len(rows) > limit else None
    return UsagePage(page, None if last is None else _encode(last))


_SUMMED = (
    UsageHourRow.requests,
    UsageHourRow.errors,
    UsageHourRow.prompt_tokens,
    UsageHourRow.cached_tokens,
    UsageHourRow.completion_tokens,
    UsageHourRow.cost,
)


def _column(name: GroupBy) -> SQLColumnExpression[Any]:
    match name:
        case "key":
            return UsageHourRow.key_id
        case "project":
            return UsageHourRow.project_id
        case "model":
            return UsageHourRow.model
        case "day":
            return UsageHourRow.hour - UsageHourRow.hour % 24
        case "hour":
            return UsageHourRow.hour


def _sum_of(row: Sequence[Any], group_by: Sequence[GroupBy]) -> UsageSum:
    values = row[: len(group_by)]
    group: dict[str, str | int] = {
        name: int(value) * _HOUR_S if name in ("day", "hour") else value
        for name, value in zip(group_by, values, strict=True)
    }
    requests, errors, prompt, cached, completion, cost = row[len(group_by) :]
    return UsageSum(group, int(requests), int(errors), int(prompt), int(cached), int(completion), float(cost))


def _encode(values: Sequence[Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode()


def _decode(cursor: str, group_by: Sequence[GroupBy]) -> list[str | int]:
    try:
        values = orjson.loads(base64.urlsafe_b64decode(cursor.encode()))
    except (binascii.Error, ValueError):
        values = None
    if not isinstance(values, list) or len(values) != len(group_by) or not all(map(_is_value, values, group_by)):
        raise InvalidValue("the cursor is not one of a page before")
    return values


def _is_value(value: Any, group: GroupBy) -> bool:
    """Say whether the database can compare a value from outside with a group's."""
    if group in ("day", "hour"):
        return type(value) is int and abs(value) < 2**53
    return isinstance(value, str) and "\0" not in value
