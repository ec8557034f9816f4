"""On what terms a request is answered: to somebody who waits, or as a line of a batch."""

from dataclasses import dataclass

from gateway.config.settings import ModelEntry


@dataclass(frozen=True)
class Terms:
    """What differs between the requests of clients and those of batches.

    Attributes:
        is_batch: nobody waits for it, so it makes way for others, and costs nothing unless it is answered.
        discount: the share of the price that is not charged.
        ledger_id: the id of its row in the ledger; the ledger keeps one row an id, so a line that runs again after a
            crash is not charged again. ``None`` draws one.
    """

    is_batch: bool = False
    discount: float = 0.0
    ledger_id: str | None = None

    def priced(self, model: ModelEntry) -> ModelEntry:
        """Return the model at the price that is charged."""
        if not self.discount:
            return model
        return model.model_copy(update={"price": model.price.less(self.discount)})


INTERACTIVE = Terms()
