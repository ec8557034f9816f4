"""What a client is told about its limits: the ``x-ratelimit-*`` headers, and ``GET /v1/limits``."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from auth.counter import Counter, Owner
from auth.limits import Kind, Limit


@dataclass(frozen=True, slots=True)
class Quota:
    """How one limit stands, on all replicas together as far as this one knows.

    Attributes:
        resets_in_s: seconds until all of it is free, if nothing more is used.
    """

    limit: Limit
    owner: Owner
    owner_id: str
    remaining: float
    resets_in_s: float


def quota_of(counter: Counter, now: float) -> Quota:
    """Return how the counter's limit stands; ``now`` is the monotonic clock's."""
    resets_in_s = counter.resets_in(now)
    return Quota(counter.limit, counter.owner, counter.owner_id, counter.remaining(now), resets_in_s)


def tightest(counters: Iterable[Counter], kind: Kind, now: float) -> Counter | None:
    """Return the limit of that kind of which the least is left."""
    alike = [counter for counter in counters if counter.limit.kind == kind]
    return min(alike, key=lambda counter: counter.remaining(now), default=None)


def ratelimit_headers(counters: Sequence[Counter], now: float) -> list[tuple[bytes, bytes]]:
    """Return ``x-ratelimit-{limit,remaining,reset}-{requests,tokens}``, of the limits per minute that there are."""
    headers: list[tuple[bytes, bytes]] = []
    for kind in ("requests", "tokens"):
        counter = tightest(counters, kind, now)
        if counter is not None:
            values = (int(counter.limit.amount), int(counter.remaining(now)), go_duration(counter.resets_in(now)))
            names = ("limit", "remaining", "reset")
            headers += [
                (f"x-ratelimit-{name}-{kind}".encode(), str(value).encode())
                for name, value in zip(names, values, strict=True)
            ]
    return headers


def go_duration(seconds: float) -> str:
    """Write a duration as OpenAI's headers do: ``120ms``, ``1s``, ``6m0s``, ``1h2m3s``."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms" if seconds > 0 else "0s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s" if minutes else f"{rest}s"
