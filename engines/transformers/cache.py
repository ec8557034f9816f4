"""Keys and values of the whole batch: one row a sequence, each row as long as its sequence has come.

Rows are padded on the right and the active ones are contiguous, so that joining and leaving copies one row at most.
"""

from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

BLOCK = 256
"""Tokens by which all rows grow when the longest needs more."""


class SlotLayer(CacheLayerMixin):  # type: ignore[misc]
    """One layer's keys and values, of shape [rows, heads, capacity, dim]."""

    is_sliding = False

    def __init__(self, cache: "SlotCache") -> None:
        super().__init__()
        self._cache = cache

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocate, now that the model has shown its shapes."""
        self.keys, self.values = self._empty_like(key_states), self._empty_like(value_states)
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Write the step's keys and values at its place; return what its rows have so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        cache = self._cache
        self.keys[cache.row_index, :, cache.positions] = key_states.transpose(1, 2)
        self.values[cache.row_index, :, cache.positions] = value_states.transpose(1, 2)
        return self.keys[cache.rows, :, : cache.length], self.values[cache.rows, :, : cache.length]

    def grow(self) -> None:
        """Take the cache's present capacity; what is held stays."""
        if self.is_initialized:
            keys, values = self.keys, self.values
            self.lazy_initialization(keys, values)
            self.keys[:, :, : keys.shape[2]] = keys
            self.values[:, :, : values.shape[2]] = values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return how many keys the step sees, and the first one's position."""
        del query_length
        return self._cache.length, 0

    def get_seq_length(self) -> int:
        """Return the length of the step's longest row."""
        return self._cache.length

    def get_max_length(self) -> int:
        """Return that there is no maximum: rows grow."""
        return -1

    def _empty_like(self, states: Tensor) -> Tensor:
        _, heads, _, dim = states.shape
        return states.new_zeros(self._cache.row_count, heads, self._cache.capacity, dim)


class SlotCache(Cache):  # type: ignore[misc]
    """A Transformers cache whose every row has its own position."""

    def __init__(self, layer_count: int, row_count: int) -> None:
        self.row_count = row_count
        self.capacity = BLOCK
        self.epoch = 0
        """Changes when keys and values move to other memory."""
        super().__init__(layers=[SlotLayer(self) for _ in range(layer_count)])

    def place(self, rows: slice, row_index: Tensor, positions: Tensor, length: int) -> None:
        """Say where the next forward writes, and how much it sees.

        Args:
            rows: the step's rows, for reading.
            row_index: the row to which each of them writes, of shape [rows, 1].
            positions: each token's position, of shape [rows, tokens].
            length: tokens of each row that the step sees: one more than the highest position, or above.
        """
        if length > self.capacity:
            self.capacity = -(-length // BLOCK) * BLOCK
            self.epoch += 1
            for layer in self.layers:
                layer.grow()
        self.rows = rows
        self.row_index = row_index
        self.positions = positions
        self.length = length

    def get_query_offset(self, layer_idx: int = 0) -> Tensor:
        """Return the position of each row's first query."""
        del layer_idx
        return self.positions[:, 0]

    def copy_row(self, source: int, target: int, length: int) -> None:
        """Make ``target`` what ``source`` is, for its first ``length`` tokens."""
        if source == target:
            return
        for layer in self.layers:
            if layer.is_initialized:
                layer.keys[target, :, :length] = layer.keys[source, :, :length]
                layer.values[target, :, :length] = layer.values[source, :, :length]

    def clear(self) -> None:
        """Forget all rows, and give back the memory."""
        self.capacity = BLOCK
        self.epoch += 1
        for layer in self.layers:
            layer.is_initialized = False
            layer.keys = layer.values = None
