"""A request that is open, as the journal keeps it: what becomes of it if its gateway replica dies."""

from dataclasses import asdict, dataclass, replace
from typing import Self

import orjson

from auth.ledger_row import LOST, LedgerRow
from auth.usage import FREE, UNBOUNDED, Price, Usage


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """What is known of a request so far.

    Attributes:
        row: what the ledger would say of it now.
        price: of the model that it is for, at this time.
        most: what that model's engine can have counted at most.
    """

    row: LedgerRow
    price: Price = FREE
    most: Usage = UNBOUNDED

    def lost(self, counted: Usage | None, completion_tokens: int) -> LedgerRow:
        """Return the row of a request that nobody can say the end of.

        Args:
            counted: by the engine, if it can be asked still.
            completion_tokens: by the journal, which stands where the engine says less: it has forgotten the request.
        """
        estimated = counted is None or not counted.fits(self.most) or counted.completion_tokens < completion_tokens
        used = Usage(self.row.prompt_tokens, completion_tokens) if counted is None or estimated else counted
        return replace(
            self.row,
            prompt_tokens=used.prompt_tokens,
            cached_tokens=used.cached_tokens,
            completion_tokens=used.completion_tokens,
            cost=used.cost(self.price),
            estimated=estimated,
            status=0,
            error_code=LOST,
        )

    def dump(self) -> str:
        """Return the request as JSON."""
        return orjson.dumps({**self.row.columns(), "price": asdict(self.price), "most": asdict(self.most)}).decode()

    @classmethod
    def load(cls, text: str) -> Self:
        """Read ``dump``'s JSON."""
        fields = orjson.loads(text)
        price, most = Price(**fields.pop("price", {})), fields.pop("most", None)
        return cls(LedgerRow.of(fields), price, Usage(**most) if most else UNBOUNDED)
