"""The days and months in which budgets count."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Period:
    """One day or one month of the calendar, in UTC.

    Attributes:
        name: as in ISO 8601: ``2026-10`` or ``2026-10-28``.
        starts_at, ends_at: seconds since the epoch.
    """

    name: str
    starts_at: float
    ends_at: float


def period_of(per: Literal["day", "month"], wall_s: float) -> Period:
    """Return the day or month that holds ``wall_s`` (seconds since the epoch)."""
    midnight = datetime.fromtimestamp(wall_s // DAY_S * DAY_S, UTC)
    if per == "day":
        return Period(f"{midnight:%Y-%m-%d}", midnight.timestamp(), midnight.timestamp() + DAY_S)
    first = midnight.replace(day=1)
    next_first = (first + timedelta(days=32)).replace(day=1)
    return Period(f"{first:%Y-%m}", first.timestamp(), next_first.timestamp())


def named_period(name: str) -> Period:
    """Return the day or month of that name."""
    is_month = len(name) == len("2026-10")
    start = datetime.fromisoformat(f"{name}-01" if is_month else name).replace(tzinfo=UTC)
    return period_of("month" if is_month else "day", start.timestamp())
