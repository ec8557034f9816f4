"""Continuous batching: who waits, who joins, who runs, read from top to bottom.

Each step first advances the prompts that join, by a bounded number of tokens, and then gives every running sequence
one more token. Sequences enter and leave between any two steps. Row ``i`` of the cache belongs to ``running[i]``; the
prompts that join are computed in the last rows, which are free as long as they count as part of the batch.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from queue import SimpleQueue

import torch
from torch import Tensor

from engines.base import Load
from engines.transformers.model import Model
from engines.transformers.sampling import sample
from engines.transformers.sequence import Piece, Sequence

logger = logging.getLogger(__name__)

Produced = list[tuple[Sequence, Piece | Exception]]
"""What a step has to say to whom; an exception is the end of its sequence."""

TOLERATED_FAILURES = 3
"""Failed steps in a row after which the engine counts as broken."""


class Scheduler:
    """Owns the model, and the thread on which it computes."""

    def __init__(
        self, model: Model, deliver: Callable[[Produced], None], *, max_batch_size: int, prefill_tokens: int
    ) -> None:
        """Prepare; nothing runs before :meth:`start`.

        Args:
            model: computes the logits; has ``max_batch_size`` rows.
            deliver: takes what each step produces, on the scheduler's thread.
            max_batch_size: sequences that run at once.
            prefill_tokens: prompt tokens that a step computes at most, before the running sequences have their turn.
        """
        self._model = model
        self._deliver = deliver
        self._max_batch_size = max_batch_size
        self._prefill_tokens = prefill_tokens
        self._arrivals: SimpleQueue[Sequence | None] = SimpleQueue()
        self._waiting: deque[Sequence] = deque()
        self._joining: list[Sequence] = []
        self._prefilled = 0
        self._running: list[Sequence] = []
        self._produced: Produced = []
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name="transformers-batch", daemon=True)

    def start(self) -> None:
        """Start the loop."""
        self._thread.start()

    async def stop(self) -> None:
        """End the loop after its present step."""
        self._arrivals.put(None)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, timeout=5)

    @property
    def healthy(self) -> bool:
        """Whether the loop runs, and its steps succeed."""
        return self._thread.is_alive() and self._failures < TOLERATED_FAILURES

    def load(self) -> Load:
        """Return how many sequences run and wait, at this moment."""
        return Load(
            running=len(self._running) + len(self._joining), waiting=len(self._waiting) + self._arrivals.qsize()
        )

    def add(self, sequences: Iterable[Sequence]) -> None:
        """Queue sequences; neighbours that share one prompt object share its computation."""
        for sequence in sequences:
            self._arrivals.put(sequence)

    def _run(self) -> None:
        while self._take_arrivals():
            try:
                with torch.inference_mode():
                    self._step()
                self._failures = 0
            except Exception as error:
                # The traceback is ours alone, and tensors print no prompt.
                logger.exception("A step of the batch failed")
                self._fail(error)
            produced, self._produced = self._produced, []
            self._deliver(produced)

    def _take_arrivals(self) -> bool:
        """Queue what has arrived, and wait for it when there is nothing else to do; false when it is time to end."""
        idle = not (self._waiting or self._joining or self._running)
        if idle:
            self._model.rest()
        while idle or not self._arrivals.empty():
            arrived = self._arrivals.get()
            if arrived is None:
                return False
            self._waiting.append(arrived)
            idle = False
        return True

    def _step(self) -> None:
        self._drop_cancelled()
        self._admit()
        if self._joining:
            self._prefill()
        if self._running:
            self._decode()

    def _drop_cancelled(self) -> None:
        self._waiting = deque(sequence for sequence in self._waiting if not sequence.cancelled)
        self._joining = [sequence for sequence in self._joining if not sequence.cancelled]
        self._close_gaps()

    def _admit(self) -> None:
        """Let in, in the order of arrival, what fits the batch and one prefill; a longer prompt comes alone."""
        if self._joining:
            return
        self._prefilled = 0
        room = self._max_batch_size - len(self._running)
        while self._waiting and len(self._joining) < room:
            prompts = _distinct_prompts([*self._joining, self._waiting[0]])
            if len(prompts) > 1 and len(prompts) * max(map(len, prompts)) > self._prefill_tokens:
                break
            self._joining.append(self._waiting.popleft())

    def _prefill(self) -> None:
        """Compute the next part of the prompts; after the last part, all who joined are running."""
        prompts = _distinct_prompts(self._joining)
        first_row = self._max_batch_size - len(prompts)
        logits = self._compute_prompts(first_row, prompts)
        self._prefilled += self._prefill_tokens
        if self._prefilled < max(map(len, prompts)):
            return
        joined, self._joining = self._joining, []
        places = [next(i for i, prompt in enumerate(prompts) if prompt is sequence.prompt) for sequence in joined]
        for place, sequence in zip(places, joined, strict=True):
            # Its row is never one that a later sequence comes from: they come from the last rows, in this order.
            self._model.cache.copy_row(first_row + place, len(self._running), len(sequence.prompt))
            self._running.append(sequence)
        self._extend(joined, logits[places])

    def _compute_prompts(self, first_row: int, prompts: list[tuple[int, ...]]) -> Tensor:
        """Return the logits after the next part of each prompt."""
        start = self._prefilled
        parts = [prompt[start : start + self._prefill_tokens] for prompt in prompts]
        if all(sequence.prompt_logprobs is None for sequence in self._joining):
            return self._model.last_logits(first_row, parts, [start] * len(parts))
        lasts = []
        for row, (prompt, part) in enumerate(zip(prompts, parts, strict=True), first_row):
            logits = self._model.all_logits(row, part, start)
            lasts.append(logits[-1])
            for sequence in self._joining:
                if sequence.prompt is prompt:
                    sequence.tell_prompt(logits, start)
        return torch.stack(lasts)

    def _decode(self) -> None:
        running = self._running
        last_tokens = [[sequence.tokens[-1]] for sequence in running]
        positions = [sequence.length - 1 for sequence in running]
        self._extend(running, self._model.last_logits(0, last_tokens, positions))

    def _extend(self, sequences: list[Sequence], logits: Tensor) -> None:
        """Give each sequence its next token; whoever ends by it leaves."""
        for sequence, sampled in zip(sequences, sample(logits, [s.draw for s in sequences]), strict=True):
            self._produced.append((sequence, sequence.append(sampled)))
        self._close_gaps()

    def _close_gaps(self) -> None:
        """Take out who has finished or is cancelled; the last row moves into each gap."""
        row = 0
        while row < len(self._running):
            if not self._running[row].gone:
                row += 1
                continue
            last = self._running.pop()
            if row < len(self._running):
                self._running[row] = last
                self._model.cache.copy_row(len(self._running), row, last.length)

    def _fail(self, error: Exception) -> None:
        """End everyone who was in the batch; the queue may have better luck."""
        self._failures += 1
        self._produced += [(sequence, error) for sequence in [*self._running, *self._joining]]
        self._running, self._joining = [], []
        self._model.cache.clear()


def _distinct_prompts(sequences: list[Sequence]) -> list[tuple[int, ...]]:
    """Return each prompt object once, in order: the choices of one request share theirs."""
    return list({id(sequence.prompt): sequence.prompt for sequence in sequences}.values())
