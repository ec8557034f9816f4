"""Where a model's files lie on this machine."""

import os
from pathlib import Path

from gateway.config import EMBEDDED


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


def _downloaded(hub_id: str) -> Path:
    """Return where the hub's client keeps the model's main revision, without importing it or asking the network."""
    hub = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser() / "hub"
    repository = Path(os.environ.get("HF_HUB_CACHE") or hub) / f"models--{hub_id.replace('/', '--')}"
    main = repository / "refs" / "main"
    return repository / "snapshots" / (main.read_text().strip() if main.is_file() else "none")
