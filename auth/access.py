"""All that a gateway replica needs of ``auth``, opened and closed together.

A request's life with it::

    key = access.identify(request.headers.get("authorization"))   # Unauthenticated
    if not may_use(key, model): ...                                     # 404 model_not_found
    row = LedgerRow(request_id, key.id, key.project, model_asked=model, prompt_tokens=estimate.prompt_tokens)
    access.ledger.begin(row, price)
    try:
        async with access.reserve(key, model=model, estimate=estimate, price=price) as reservation:   # Rejected
            access.ledger.follow(row.id, lambda: tokens_so_far)         # asked now and then
            ...                                                         # relay
            reservation.settle(usage)
    finally:
        row.status = 200                                                # and what else is known by now
        access.ledger.record(row)                                       # always
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self

from auth.identity import Identity
from auth.keys import INFERENCE, Key, may_use
from auth.late_rows import LateRows
from auth.ledger import Ledger
from auth.limiter import LeaseSource, Limiter
from auth.reaper import CountOf, nobody_counts
from auth.refusal_limit import PER_MINUTE, RefusalLimit
from auth.refusals import Refusals
from auth.reservation import Reservation
from auth.slowdown import Slowdown
from auth.snapshot import KeySnapshot
from auth.store import Store
from auth.tokens import ID_PREFIX, Tokens, token_in
from auth.usage import FREE, NOTHING, Price, Usage

_TOKEN = Usage(completion_tokens=1)


@dataclass(frozen=True, slots=True)
class Access:
    """The parts: who asks (``keys``), how much they may (``limiter``), what they did (``ledger``).

    ``tokens`` knows whom another issuer vouches for, where one is configured; ``slowdown`` makes whoever guesses wait.
    ``refusals`` counts what was not let in, and ``refusal_limit`` knows who was refused too often of late.
    """

    store: Store
    keys: KeySnapshot
    limiter: Limiter
    ledger: Ledger
    refusals: Refusals
    refusal_limit: RefusalLimit
    slowdown: Slowdown
    tokens: Tokens | None
    _parts: AsyncExitStack

    @classmethod
    async def open(
        cls,
        database_url: str,
        leases: LeaseSource,
        *,
        replica: str,
        identity: Identity | None = None,
        count_of: CountOf = nobody_counts,
        refusals_per_minute: int = PER_MINUTE,
        late_rows: LateRows | None = None,
    ) -> Self:
        """Open everything.

        Args:
            database_url: see ``Store``; the schema must be there (``Store.migrate``).
            leases: ``OwnLeases()`` for one replica alone, ``await RayLeases.open(database_url)`` for several.
            replica: a name that no other gateway replica has or had.
            identity: whose tokens are taken beside our own keys.
            count_of: asks engines for the counts of requests whose gateway replica has died.
            refusals_per_minute: requests of one key that are refused in full.
            late_rows: where rows of the ledger are kept that the database does not take at the end.

        Raises:
            Exception: as ``KeySnapshot.open``; what was opened is closed again.
        """
        async with AsyncExitStack() as parts:
            store = Store(database_url)
            parts.push_async_callback(store.close)
            ledger = await Ledger.open(store, gateway=replica, count_of=count_of, late_rows=late_rows)
            parts.push_async_callback(ledger.close)
            refusals = await Refusals.open(store)
            parts.push_async_callback(refusals.close)
            keys = await KeySnapshot.open(store)
            parts.push_async_callback(keys.close)
            limiter = await Limiter.open(leases, replica=replica)
            parts.push_async_callback(limiter.close)
            tokens = await Tokens.open(identity, keys.find_project) if identity else None
            if tokens:
                parts.push_async_callback(tokens.close)
            refusal_limit = RefusalLimit(refusals_per_minute)
            return cls(store, keys, limiter, ledger, refusals, refusal_limit, Slowdown(), tokens, parts.pop_all())

    async def close(self) -> None:
        """Write what is to be written, and close everything."""
        await self._parts.aclose()

    @property
    def degraded(self) -> list[str]:
        """Why readiness should say ``degraded``; empty when all is well."""
        parts = (self.keys, self.limiter, self.ledger, self.refusals, self.tokens)
        reasons = [part.degraded for part in parts if part is not None and part.degraded is not None]
        if refused := self.ledger.set_aside:
            reasons.append(f"{refused} rows of the ledger were set aside: the database has them in refused_rows")
        return reasons

    def identify(self, authorization: str | bytes | None) -> Key:
        """Return who shows an ``Authorization`` header.

        Raises:
            Unauthenticated: no header, or nothing in it that is valid now; the reasons cannot be told apart.
        """
        if self.tokens and (token := token_in(authorization)):
            return self.tokens.identify(token)
        return self.keys.identify(authorization)

    def current(self, key: Key, needs: Sequence[str] = (INFERENCE,), model: str | None = None) -> Key | None:
        """Return a key as it is now, if it may still do what it was let in for; it may have been narrowed since.

        Args:
            key: as it was identified.
            needs: the scopes of which it must have one.
            model: what it asks, by the name that it asked for; ``None`` while that is not known.
        """
        if self.tokens and key.id.startswith(ID_PREFIX):
            now = key if self.tokens.is_valid(key) else None
        else:
            now = self.keys.current(key)
        if now is None or not set(needs) & set(now.scopes):
            return None
        return now if model is None or may_use(now, model) else None

    def counts_prompts(self, key: Key, *, model: str, asked: str | None = None) -> bool:
        """Say whether a limit of the key or its project counts the prompts that ``model`` is sent for ``asked``."""
        names = (model, asked or model)
        limits = (*key.limits, *self.keys.project(key).limits)
        return any(limit.counts_prompts and limit.applies_to(names) for limit in limits)

    def counts_completions(self, key: Key, *, model: str, price: Price, asked: str | None = None) -> bool:
        """Say whether each token that ``model`` answers, at its price, takes of a limit of the key or its project."""
        names = (model, asked or model)
        limits = (*key.limits, *self.keys.project(key).limits)
        return any(
            limit.charged(_TOKEN, price) > limit.charged(NOTHING, price) for limit in limits if limit.applies_to(names)
        )

    def reserve(
        self, key: Key, *, model: str, asked: str | None = None, estimate: Usage, price: Price = FREE
    ) -> Reservation:
        """Return the request's claim on the limits of its key and project; see ``Limiter.reserve``."""
        project = self.keys.project(key)
        return self.limiter.reserve(key, project, model=model, asked=asked, estimate=estimate, price=price)
