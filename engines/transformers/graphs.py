"""Decode steps as CUDA graphs: one launch instead of hundreds, which a CPU cannot give as fast as a GPU takes them.

A captured step always computes every row of the batch, so a sequence's next logits do not depend on how many others
run beside it. See https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs for what may be captured.
"""

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from engines.transformers.cache import BLOCK, SlotCache

logger = logging.getLogger(__name__)


class DecodeGraphs:
    """Runs one token of each sequence; captures the step the first time, and replays it afterwards."""

    def __init__(
        self, run: Callable[[Tensor, Tensor], Tensor], cache: SlotCache, *, rows: int, device: torch.device
    ) -> None:
        """Prepare; the first step of each length is captured when it comes.

        Args:
            run: token ids and their positions, both of shape [rows, 1], in; logits [rows, vocabulary] out.
            cache: where the step reads and writes; has one row more than the batch, for what padding writes.
            rows: sequences in a full batch.
            device: where the model is.
        """
        self._run = run
        self._cache = cache
        self._rows = rows
        self._inputs = torch.zeros(3, rows, dtype=torch.long, device=device)
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        self._epoch = cache.epoch
        self._capturable = True

    def logits(self, tokens: Sequence[int], positions: Sequence[int]) -> Tensor:
        """Run one token of each of the first rows; return their logits, which the next step overwrites.

        Args:
            tokens: the newest token of each row, from the first row on.
            positions: where each of them stands.
        """
        padding = self._rows - len(tokens)
        self._inputs.copy_(
            torch.tensor(
                [
                    [*tokens, *[0] * padding],
                    [*positions, *[0] * padding],
                    [*range(len(tokens)), *[self._rows] * padding],
                ]
            )
        )
        ids, places, row_index = self._inputs.unsqueeze(-1)
        # Powers of two, so that few lengths are ever captured.
        length = BLOCK << (max(positions) // BLOCK).bit_length()
        self._cache.place(slice(0, self._rows), row_index, places, length)
        if self._epoch != self._cache.epoch:
            self._graphs.clear()
            self._epoch = self._cache.epoch
        if length in self._graphs:
            graph, logits = self._graphs[length]
            graph.replay()
        else:
            logits = self._run(ids, places)
            if self._capturable:
                self._capture(length, ids, places)
        return logits[: len(tokens)]

    def _capture(self, length: int, ids: Tensor, places: Tensor) -> None:
        """Record the step that has just run: it writes the same once more, when it is replayed with other inputs."""
        try:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                logits = self._run(ids, places)
        except RuntimeError as error:
            self._capturable = False
            logger.warning("This model's steps cannot be captured as CUDA graphs, and run one by one: %s", error)
            return
        self._graphs[length] = graph, logits
