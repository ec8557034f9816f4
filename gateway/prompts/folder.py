"""Where a model's files lie on this machine."""

import os
from pathlib import Path

import orjson

from gateway.config.schema import EMBEDDED
from gateway.config.settings import ModelEntry


def folder_of(source: str, home: Path) -> Path | None:
    """Return the folder of a model's tokenizer, if it is there by now; engines bring it when they first start.

    Args:
        source: ``embedded:NAME``, a folder, or a hub id.
        home: where converted models are kept.
    """
    if source.startswith(EMBEDDED):
        folder = home / "models" / source.removeprefix(EMBEDDED)
    else:
        local = Path(source).expanduser()
        folder = local if local.is_dir() else _downloaded(source)
    return folder if (folder / "tokenizer.json").is_file() else None


def context_length(model: ModelEntry, home: Path) -> int | None:
    """Return the tokens that a model's prompt and completion may have together, where it is known by now.

    Args:
        home: where converted models are kept.
    """
    folder = folder_of(model.source, home) if model.source else None
    path = folder / "config.json" if folder else None
    if model.context_length or path is None or not path.is_file():
        return model.context_length
    config = orjson.loads(path.read_bytes())
    if (sentences := path.with_name("sentence_bert_config.json")).is_file():
        config |= orjson.loads(sentences.read_bytes())
    config = config.get("text_config") or config  # models of several modalities
    length = next((config[name] for name in _LENGTHS if name in config), None)
    return length if isinstance(length, int) else None


_LENGTHS = ("max_seq_length", "max_position_embeddings", "n_positions", "max_sequence_length", "seq_length")
"""What sentence-transformers and architectures call it, what was trained before what is possible."""


def _downloaded(hub_id: str) -> Path:
    """Return where the hub's client keeps the model's main revision, without importing it or asking the network."""
    hub = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser() / "hub"
    repository = Path(os.environ.get("HF_HUB_CACHE") or hub) / f"models--{hub_id.replace('/', '--')}"
    main = repository / "refs" / "main"
    return repository / "snapshots" / (main.read_text().strip() if main.is_file() else "none")
