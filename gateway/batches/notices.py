"""What a batch tells of itself while lines of it wait, in its own record: any gateway replica shows it."""

import asyncio
from dataclasses import dataclass, field

from gateway.batches.recorder import patiently
from gateway.http.errors import ApiError
from objects.batch_progress import tell_waits
from objects.batches import Batch, Mistake
from objects.runner import Office

WORTH_TELLING_S = 30.0
"""Waits that are known to be shorter come and go with a key's limits by the minute."""


@dataclass
class Notices:
    """Why lines of one batch wait, by the model that they ask for."""

    office: Office
    batch: Batch
    _waits: dict[str, Mistake] = field(default_factory=dict)
    _one_write: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def begin(self) -> None:
        """Take back what a run that broke off has told."""
        if self.batch.errors:
            await self._write()

    async def waits(self, model: str, error: ApiError) -> None:
        """Tell that the model's lines wait, because of ``error``."""
        code = error.code or error.type
        known = self._waits.get(model)
        if known is None or known.code != code:
            self._waits[model] = Mistake(code, f"Lines for '{model}' wait: {error.message}", "model")
            await self._write()

    async def goes_on(self, model: str) -> None:
        """Tell that they wait no longer, if that was told."""
        if self._waits.pop(model, None):
            await self._write()

    async def _write(self) -> None:
        async with self._one_write:
            await patiently(lambda: tell_waits(self.office, self.batch, list(self._waits.values())))
