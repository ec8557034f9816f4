"""A request that is open, as the journal keeps it: what becomes of it if its gateway replica dies."""

from dataclasses import asdict, dataclass, replace
from typing import Self

import orjson

from auth.ledger_row import LOST, LedgerRow
from auth.usage import FREE, Price, Usage


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """What is known of a request so far, and the price of the model that it is for, at this time."""

    row: LedgerRow
    price: Price = FREE

    def lost(self, used: Usage) -> LedgerRow:
        """Return the row of a request that nobody can say the end of."""
        return replace(
            self.row,
            prompt_tokens=used.prompt_tokens,
            cached_tokens=used.cached_tokens,
            completion_tokens=used.completion_tokens,
            cost=used.cost(self.price),
            status=0,
            error_code=LOST,
        )

    def dump(self) -> str:
        """Return the request as JSON."""
        return orjson.dumps({**self.row.columns(), "price": asdict(self.price)}).decode()

    @classmethod
    def load(cls, text: str) -> Self:
        """Read ``dump``'s JSON."""
        fields = orjson.loads(text)
        price, metadata = Price(**fields.pop("price", {})), fields.pop("metadata")
        return cls(LedgerRow(**fields, metadata=None if metadata is None else orjson.loads(metadata)), price)
