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

    def lost(self, completion_tokens: int) -> LedgerRow:
        """Return the row of a request that nobody can say the end of, charged for its tokens so far."""
        row = self.row
        used = Usage(row.prompt_tokens, completion_tokens, row.cached_tokens)
        cost = used.cost(self.price)
        return replace(row, completion_tokens=completion_tokens, cost=cost, status=0, error_code=LOST)

    def dump(self) -> str:
        """Return the request as JSON."""
        return orjson.dumps({**self.row.columns(), "price": asdict(self.price)}).decode()

    @classmethod
    def load(cls, text: str) -> Self:
        """Read ``dump``'s JSON."""
        fields = orjson.loads(text)
        price, metadata = Price(**fields.pop("price", {})), fields.pop("metadata")
        return cls(LedgerRow(**fields, metadata=None if metadata is None else orjson.loads(metadata)), price)
