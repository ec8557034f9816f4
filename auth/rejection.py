"""The answer to a request for which a limit has no room."""

from auth.counter import Counter, Owner
from auth.limits import Kind, Limit


class Rejected(Exception):
    """A limit has no room for the request.

    Attributes:
        limit: which limit.
        owner, owner_id: whose it is: ``key`` or ``project``, and which.
        kind: ``requests``, ``tokens``, ``concurrency`` or ``budget``.
        asked: what the request would have taken.
        remaining: what is left, on all replicas together as far as is known.
        frees_in_s: seconds until there may be room; ``None``: never, since the request asks for more than the limit.
    """

    def __init__(self, counter: Counter, *, asked: float, now: float) -> None:
        self.limit: Limit = counter.limit
        self.owner: Owner = counter.owner
        self.owner_id = counter.owner_id
        self.kind: Kind = counter.limit.kind
        self.asked = asked
        self.remaining = counter.remaining(now)
        self.frees_in_s = counter.frees_in(asked, now)
        super().__init__(self._message())

    def _message(self) -> str:
        limit = self.limit
        time = {None: "at one time", "minute": "per minute", "day": "per day (UTC)", "month": "per month (UTC)"}[
            limit.per
        ]
        what = "requests" if limit.of == "concurrency" else limit.of.replace("_", " ")
        models = "" if limit.model == "*" else f" for models {limit.model}"
        bound = f"This gateway's limit of {limit.amount:g} {what} {time}{models} for this {self.owner} is reached"
        return f"{bound}: {self.remaining:g} left, {self.asked:g} asked for."
