"""One request's choices while they are generated; leaving it takes them out of the batch."""

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType

from engines.base import Used
from engines.transformers.scheduler import Produced, Scheduler
from engines.transformers.sequence import Piece, Sequence
from engines.used import count_with

Pieces = list[tuple[Sequence, Piece]]


class GenerationError(RuntimeError):
    """A step of the batch failed under this request; its cause is the exception."""


class Dispatcher:
    """Carries what the scheduler's thread produces to the requests on the event loop, once a step."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._inboxes: dict[Sequence, asyncio.Queue[tuple[Sequence, Piece | Exception]]] = {}

    def deliver(self, produced: Produced) -> None:
        """Hand over a step's produce; may be called on any thread."""
        self._loop.call_soon_threadsafe(self._sort, produced)

    def _sort(self, produced: Produced) -> None:
        for sequence, outcome in produced:
            if inbox := self._inboxes.get(sequence):
                inbox.put_nowait((sequence, outcome))

    def open(self, sequences: list[Sequence]) -> "asyncio.Queue[tuple[Sequence, Piece | Exception]]":
        """Return where the sequences' pieces arrive until they are closed."""
        inbox: asyncio.Queue[tuple[Sequence, Piece | Exception]] = asyncio.Queue()
        self._inboxes.update(dict.fromkeys(sequences, inbox))
        return inbox

    def close(self, sequences: list[Sequence]) -> None:
        """Forget the sequences; what still comes for them is dropped."""
        for sequence in sequences:
            self._inboxes.pop(sequence, None)


class Generation:
    """Use as ``async with Generation(...) as generation: async for pieces in generation.pieces(): ...``."""

    def __init__(self, scheduler: Scheduler, dispatcher: Dispatcher, sequences: list[Sequence]) -> None:
        self._scheduler = scheduler
        self._dispatcher = dispatcher
        self.sequences = sequences

    def used(self) -> Used:
        """Return what has been used so far."""
        prompts = {id(sequence.prompt): len(sequence.prompt) for sequence in self.sequences}
        return Used(sum(prompts.values()), sum(len(sequence.tokens) for sequence in self.sequences))

    async def __aenter__(self) -> "Generation":
        count_with(self.used)
        self._inbox = self._dispatcher.open(self.sequences)
        self._scheduler.add(self.sequences)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for sequence in self.sequences:
            sequence.cancelled = True
        self._dispatcher.close(self.sequences)

    async def pieces(self) -> AsyncIterator[Pieces]:
        """Yield what has come since the last time, until every choice has ended.

        Raises:
            GenerationError: when a step of the batch failed.
        """
        open_choices = len(self.sequences)
        while open_choices:
            arrived: Pieces = []
            while not arrived or not self._inbox.empty():
                sequence, outcome = await self._inbox.get()
                if isinstance(outcome, Exception):
                    raise GenerationError from outcome
                arrived.append((sequence, outcome))
            open_choices -= sum(piece.finish_reason is not None for _, piece in arrived)
            yield arrived
