"""A sentence encoder: tokens in, one vector a text out, pooled as the model's own configuration says."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize
from transformers import AutoModel
from transformers.utils import cached_file

from engines.base import EngineStartError
from engines.transformers.model import accelerator

POOLING_MODES = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "lasttoken",
}
"""How older files of sentence-transformers name them."""


@dataclass(frozen=True)
class Pooling:
    """How the vectors of a text's tokens become one; a model that says nothing gets these defaults."""

    mode: str = "mean"
    normalised: bool = True
    max_length: int | None = None

    @classmethod
    def of(cls, source: str) -> "Pooling":
        """Read a model's configuration for sentence-transformers, if it has one.

        Raises:
            EngineStartError: when it asks for what is not known here.
        """
        modules = _read(source, "modules.json")
        if modules is None:
            return cls()
        types = {module["type"].rpartition(".")[2]: module["path"] for module in modules}
        if others := types.keys() - {"Transformer", "Pooling", "Normalize"}:
            raise EngineStartError(f"The transformers engine knows no such modules of an encoder: {sorted(others)}.")
        pooling = _read(source, f"{types.get('Pooling', '1_Pooling')}/config.json") or {}
        modes = [mode for name, mode in POOLING_MODES.items() if pooling.get(name)]
        mode = pooling.get("pooling_mode") or ",".join(modes)
        if mode not in POOLING_MODES.values():
            raise EngineStartError("The transformers engine pools an encoder's vectors by mean, cls or lasttoken only.")
        sentence = _read(source, "sentence_bert_config.json") or {}
        return cls(mode, "Normalize" in types, sentence.get("max_seq_length"))


class Encoder:
    """An encoder model of Hugging Face Transformers."""

    def __init__(self, source: str, *, dtype: str, device: str) -> None:
        """Load the weights and run once, so that a model that cannot be served says so now.

        Args:
            source: a folder or a hub id.
            dtype: as torch names it, or ``auto``: float32 on CPUs and the weights' own elsewhere.
            device: as torch names it, or ``auto``: the accelerator if there is one.
        """
        self._device = torch.device(accelerator() if device == "auto" else device)
        on_cpu = self._device.type == "cpu"
        self._model = AutoModel.from_pretrained(source, dtype="float32" if dtype == "auto" and on_cpu else dtype)
        self._model.eval().to(self._device)
        self._pooling = Pooling.of(source)
        config = self._model.config
        longest: int = config.max_position_embeddings
        self.max_length = min(longest, self._pooling.max_length or longest)
        self.vocabulary_size: int = config.vocab_size
        self.dtype = self._model.dtype
        self.widths: list[int] | None = getattr(config, "matryoshka_dimensions", None)
        self.truncatable = bool(self.widths) or getattr(config, "is_matryoshka", False)
        self.width: int = self.encode([[0]], [None]).pop().shape[0]

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def encode(self, texts: Sequence[Sequence[int]], widths: Sequence[int | None]) -> list[Tensor]:
        """Return a vector for each text, as float32 on the CPU.

        Args:
            texts: token ids, with the special ones.
            widths: how many numbers of each vector are wanted; ``None`` means all.
        """
        longest = max(map(len, texts))
        ids = torch.tensor([[*text, *[0] * (longest - len(text))] for text in texts], device=self._device)
        lengths = torch.tensor([len(text) for text in texts], device=self._device).unsqueeze(-1)
        mask = torch.arange(longest, device=self._device) < lengths
        hidden = self._model(input_ids=ids, attention_mask=mask.long()).last_hidden_state.float()
        vectors = self._pool(hidden, mask, lengths).cpu()
        cut = [vector[:width] for vector, width in zip(vectors, widths, strict=True)]
        return [normalize(vector, dim=-1) for vector in cut] if self._pooling.normalised else cut

    def _pool(self, hidden: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:
        match self._pooling.mode:
            case "mean":
                return (hidden * mask.unsqueeze(-1)).sum(1) / lengths
            case "cls":
                return hidden[:, 0]
            case _:
                return hidden[torch.arange(len(hidden), device=hidden.device), lengths.squeeze(-1) - 1]


def _read(source: str, name: str) -> Any:
    """Return the content of a model's JSON file, or ``None`` when it has no such file."""
    path = cached_file(source, name, _raise_exceptions_for_missing_entries=False)
    return None if path is None else json.loads(Path(path).read_text())
