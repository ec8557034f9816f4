"""All that a gateway replica needs of ``auth``, opened and closed together.

A request's life with it::

    key = access.identify(request.headers.get("authorization"))   # Unauthenticated
    if not may_use(key, model): ...                                     # 404 model_not_found
    row = LedgerRow(request_id, key.id, key.project, model_asked=model, prompt_tokens=estimate.prompt_tokens)
    access.ledger.begin(row)
    try:
        async with access.reserve(key, model=model, estimate=estimate, price=price) as reservation:   # Rejected
            ...                                                         # relay; now and then:
            reservation.progress(completion_tokens=n)
            access.ledger.progress(row.id, n)
            reservation.settle(usage)
    finally:
        access.ledger.record(replace(row, status=200, ...))             # always
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self

from auth.keys import Key
from auth.ledger import Ledger
from auth.limiter import LeaseSource, Limiter
from auth.reservation import Reservation
from auth.slowdown import Slowdown
from auth.snapshot import KeySnapshot
from auth.store import Store
from auth.usage import FREE, Price, Usage


@dataclass(frozen=True, slots=True)
class Access:
    """The parts: who asks (``keys``), how much they may (``limiter``), what they did (``ledger``).

    ``slowdown`` makes whoever guesses keys wait.
    """

    store: Store
    keys: KeySnapshot
    limiter: Limiter
    ledger: Ledger
    slowdown: Slowdown
    _parts: AsyncExitStack

    @classmethod
    async def open(cls, database_url: str, leases: LeaseSource, *, replica: str) -> Self:
        """Open everything.

        Args:
            database_url: see ``Store``; the schema must be there (``Store.migrate``).
            leases: ``OwnLeases()`` for one replica alone, ``await RayLeases.open(database_url)`` for several.
            replica: a name that no other gateway replica has or had.

        Raises:
            Exception: as ``KeySnapshot.open``; what was opened is closed again.
        """
        async with AsyncExitStack() as parts:
            store = Store(database_url)
            parts.push_async_callback(store.close)
            ledger = await Ledger.open(store, gateway=replica)
            parts.push_async_callback(ledger.close)
            keys = await KeySnapshot.open(store)
            parts.push_async_callback(keys.close)
            limiter = await Limiter.open(leases, replica=replica)
            parts.push_async_callback(limiter.close)
            return cls(store, keys, limiter, ledger, Slowdown(), parts.pop_all())

    async def close(self) -> None:
        """Write what is to be written, and close everything."""
        await self._parts.aclose()

    @property
    def degraded(self) -> list[str]:
        """Why readiness should say ``degraded``; empty when all is well."""
        return [why for why in (self.keys.degraded, self.limiter.degraded, self.ledger.degraded) if why is not None]

    def identify(self, authorization: str | bytes | None) -> Key:
        """Return who shows an ``Authorization`` header.

        Raises:
            Unauthenticated: no header, or nothing in it that is valid now; the reasons cannot be told apart.
        """
        return self.keys.identify(authorization)

    def counts_prompts(self, key: Key, *, model: str) -> bool:
        """Say whether a limit of the key or its project counts the prompts that ``model`` is sent."""
        limits = (*key.limits, *self.keys.project(key).limits)
        return any(limit.counts_prompts and limit.applies_to(model) for limit in limits)

    def reserve(self, key: Key, *, model: str, estimate: Usage, price: Price = FREE) -> Reservation:
        """Return the request's claim on the limits of its key and project; see ``Limiter.reserve``."""
        return self.limiter.reserve(key, self.keys.project(key), model=model, estimate=estimate, price=price)
