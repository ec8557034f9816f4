"""A request's claim on its limits: reserved once, settled once, never forgotten."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from auth.counter import Counter
from auth.meters import Bucket
from auth.quota import ratelimit_headers
from auth.usage import Price, Usage


@dataclass(slots=True, eq=False, weakref_slot=True)
class Charge:
    """What a request has taken from a counter, and where that stands there; the counter stays while the charge does."""

    counter: Counter
    bucket: Bucket
    amount: float

    @classmethod
    def of(cls, counter: Counter, amount: float, now: float) -> Self:
        """Take an amount from a counter."""
        charge = cls(counter, counter.meter.charge(amount, now), amount)
        counter.held_by(charge)
        return charge

    def correct(self, amount: float, now: float) -> None:
        """Make it ``amount``."""
        if amount != self.amount:
            self.counter.meter.correct(self.bucket, amount - self.amount, now)
            self.amount = amount


Admit = Callable[[Sequence[Counter], Sequence[float]], Awaitable[list[Charge]]]


class Reservation:
    """Entering it admits the request or raises ``Rejected``; leaving it settles what is not settled yet::

        async with limiter.reserve(key, project, model="smollm2", estimate=Usage(120, 256)) as reservation:
            reservation.settle(Usage(118, 64))          # as the engine reports at the end
        reservation.amend(Usage(118, 66), price)        # if it reports when the request is over already

    Whoever leaves without settling pays for the whole estimate. Settling never waits: a cancelled request settles too.
    """

    def __init__(
        self,
        counters: Sequence[Counter],
        admit: Admit,
        clock: Callable[[], float],
        *,
        estimate: Usage,
        price: Price,
    ) -> None:
        self.estimate = estimate
        self.price = price
        self.settled: Usage | None = None
        self._counters = counters
        self._admit = admit
        self._clock = clock
        self._charges: list[Charge] = []

    async def __aenter__(self) -> Self:
        amounts = [counter.limit.reserved(self.estimate, self.price) for counter in self._counters]
        self._charges = await self._admit(self._counters, amounts)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.settled is None:
            self.settle(self.estimate)

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The ``x-ratelimit-*`` headers, with this request counted."""
        return ratelimit_headers(self._counters, self._clock())

    def settle(self, usage: Usage, price: Price | None = None) -> None:
        """Charge what the request has used; ``price`` is that of the model which answered, if another did.

        Raises:
            RuntimeError: it is settled already.
        """
        self._settle(usage)
        self.amend(usage, price or self.price)

    def amend(self, usage: Usage, price: Price) -> None:
        """Charge what the engine says the request has used, in place of what it was settled to."""
        self.settled = usage
        for charge in self._charges:
            charge.correct(charge.counter.limit.charged(usage, price), self._clock())

    def forgive(self) -> None:
        """Charge nothing after all, not even a request: the engine says now that it never began."""
        self.settled = Usage()
        for charge in self._charges:
            charge.correct(0.0, self._clock())

    def cancel(self) -> None:
        """Charge nothing, not even a request: it has reached no engine.

        Raises:
            RuntimeError: it is settled already.
        """
        self._settle(Usage())
        self.forgive()

    def _settle(self, usage: Usage) -> None:
        if self.settled is not None:
            raise RuntimeError("a reservation is settled once")
        self.settled = usage
