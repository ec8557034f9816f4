"""Encodes what has arrived together; what arrives meanwhile is the next batch."""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field

from torch import Tensor

from engines.base import Load
from engines.transformers.encoder import Encoder

logger = logging.getLogger(__name__)

TOLERATED_FAILURES = 3
"""Failed batches in a row after which the engine counts as broken."""


class EncodingError(RuntimeError):
    """A batch failed; the cause is logged."""


@dataclass(eq=False)
class Text:
    """A text that waits for its vector."""

    tokens: tuple[int, ...]
    width: int | None
    vector: "asyncio.Future[Tensor]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Batcher:
    """Owns the encoder. Lives on one event loop, and computes beside it."""

    def __init__(self, encoder: Encoder, *, max_batch_size: int) -> None:
        """Prepare; nothing runs before :meth:`start`.

        Args:
            encoder: computes the vectors.
            max_batch_size: texts that are computed at once.
        """
        self._encoder = encoder
        self._max_batch_size = max_batch_size
        self._waiting: deque[Text] = deque()
        self._running: list[Text] = []
        self._arrived = asyncio.Event()
        self._failures = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the loop."""
        self._task = asyncio.create_task(self._run(), name="transformers-encoder")

    async def stop(self) -> None:
        """End the loop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def healthy(self) -> bool:
        """Whether the loop runs, and its batches succeed."""
        return self._task is not None and not self._task.done() and self._failures < TOLERATED_FAILURES

    def load(self) -> Load:
        """Return how many texts are computed and wait, at this moment."""
        return Load(running=len(self._running), waiting=len(self._waiting))

    async def encode(self, texts: list[tuple[int, ...]], width: int | None) -> list[Tensor]:
        """Return a vector for each text; texts of a caller who is cancelled meanwhile are not computed.

        Raises:
            EncodingError: when the model failed.
        """
        waiting = [Text(tokens, width) for tokens in texts]
        # Neighbours of one length need no padding.
        self._waiting.extend(sorted(waiting, key=lambda text: len(text.tokens)))
        self._arrived.set()
        return list(await asyncio.gather(*(text.vector for text in waiting)))

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            while batch := self._next():
                self._running = batch
                await self._compute(batch)
                self._running = []
            self._arrived.clear()

    def _next(self) -> list[Text]:
        """Take the next texts, but for those that nobody waits for."""
        batch: list[Text] = []
        while self._waiting and len(batch) < self._max_batch_size:
            text = self._waiting.popleft()
            if not text.vector.done():
                batch.append(text)
        return batch

    async def _compute(self, batch: list[Text]) -> None:
        tokens, widths = [text.tokens for text in batch], [text.width for text in batch]
        try:
            vectors = await asyncio.to_thread(self._encoder.encode, tokens, widths)
        except Exception:
            logger.exception("A batch failed")
            self._failures += 1
            for text in batch:
                if not text.vector.done():
                    text.vector.set_exception(EncodingError())
            return
        self._failures = 0
        for text, vector in zip(batch, vectors, strict=True):
            if not text.vector.done():
                text.vector.set_result(vector)
