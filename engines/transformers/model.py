"""The model as the scheduler sees it: tokens at rows in, logits out."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from engines.base import EngineStartError
from engines.transformers.attention import SLOTS
from engines.transformers.cache import BLOCK, SlotCache
from engines.transformers.graphs import DecodeGraphs

ATTENTION_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}


class Model:
    """A causal language model with one cache row for each sequence of the batch."""

    def __init__(self, source: str, *, rows: int, dtype: str, device: str) -> None:
        """Load the weights and run once, so that a model that cannot be served says so now.

        Args:
            source: a folder or a hub id.
            rows: how many sequences fit.
            dtype: as torch names it, or ``auto``: the weights' own on accelerators; float32 on CPUs, where bfloat16
                flips near ties between batch sizes (a request would answer differently alone and in company).
            device: as torch names it, or ``auto``: the accelerator if there is one.

        Raises:
            EngineStartError: when the model's layers keep a state that is not attention.
        """
        self.device = torch.device(accelerator() if device == "auto" else device)
        on_cpu = self.device.type == "cpu"
        self._model = AutoModelForCausalLM.from_pretrained(
            source,
            dtype="float32" if dtype == "auto" and on_cpu else dtype,
            attn_implementation=SLOTS,
        )
        self._model.eval().to(self.device)
        config = self._model.config.get_text_config()
        if others := set(getattr(config, "layer_types", None) or ()) - ATTENTION_LAYERS:
            raise EngineStartError(f"The transformers engine serves attention models only; this has {sorted(others)}.")
        self.max_length: int = config.max_position_embeddings
        self.vocabulary_size: int = config.vocab_size
        self.dtype = self._model.dtype
        self.eos_token_ids = _as_set(self._model.generation_config.eos_token_id)
        captured = self.device.type == "cuda"
        # One row more takes what a captured step's padding writes.
        self.cache = SlotCache(config.num_hidden_layers, rows + captured)
        self._graphs = DecodeGraphs(self.next_logits, self.cache, rows=rows, device=self.device) if captured else None
        self.last_logits(0, [[0, 0], [0]][:rows], [0, 0][:rows])

    def last_logits(self, first_row: int, tokens: Sequence[Sequence[int]], starts: Sequence[int]) -> Tensor:
        """Run some tokens of each row; return the logits after each row's last one, as float32 [rows, vocabulary].

        Args:
            first_row: the row of the first list of tokens; the others follow it.
            tokens: what is new in each row.
            starts: the position of the first of it.
        """
        if self._graphs and first_row == 0 and max(map(len, tokens)) == 1:
            return self._graphs.logits([row[0] for row in tokens], starts)
        lasts = [len(row) - 1 for row in tokens]
        wanted = sorted(set(lasts))
        logits = self._forward(first_row, tokens, starts, torch.tensor(wanted, device=self.device))
        if len(wanted) == 1:
            return logits[:, 0]
        return logits[list(range(len(lasts))), [wanted.index(last) for last in lasts]]

    def all_logits(self, row: int, tokens: Sequence[int], start: int) -> Tensor:
        """Run some tokens of one row; return the logits after each, as float32 [tokens, vocabulary]."""
        return self._forward(row, [tokens], [start], 0)[0]

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def next_logits(self, ids: Tensor, positions: Tensor) -> Tensor:
        """Run one token a row at the cache's present place; return the logits after each, as float32.

        Args:
            ids: the tokens, of shape [rows, 1].
            positions: where they stand, of the same shape.
        """
        return self._run(ids, positions, 1)[:, 0]

    def rest(self) -> None:
        """Give back the memory of long sequences, now that there are none; captured steps keep it, and read there."""
        if self._graphs is None and self.cache.capacity > BLOCK:
            self.cache.clear()

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _forward(
        self, first_row: int, tokens: Sequence[Sequence[int]], starts: Sequence[int], keep: int | Tensor
    ) -> Tensor:
        width = max(map(len, tokens))
        padded = [[*row, *[0] * (width - len(row))] for row in tokens]
        positions = torch.tensor([list(range(start, start + width)) for start in starts], device=self.device)
        rows = slice(first_row, first_row + len(tokens))
        row_index = torch.arange(rows.start, rows.stop, device=self.device)[:, None]
        # Padding is written beyond its row's end, where nothing looks before a real token has replaced it.
        self.cache.place(rows, row_index, positions, max(starts) + width)
        return self._run(torch.tensor(padded, device=self.device), positions, keep)

    def _run(self, ids: Tensor, positions: Tensor, keep: int | Tensor) -> Tensor:
        output = self._model(
            input_ids=ids, position_ids=positions, past_key_values=self.cache, use_cache=True, logits_to_keep=keep
        )
        logits: Tensor = output.logits.float()
        return logits


def accelerator() -> str:
    """Return the kind of device that torch found, or the CPU."""
    found = torch.accelerator.current_accelerator(check_available=True)
    return found.type if found else "cpu"


def _as_set(ids: int | list[int] | None) -> frozenset[int]:
    return frozenset([ids] if isinstance(ids, int) else ids or ())
