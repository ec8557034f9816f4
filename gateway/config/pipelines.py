"""Finds what is wrong between pipelines and the models that they ask."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.config.file import Document, KeyPath, Mistake
from gateway.config.schema import RETRIEVAL
from gateway.config.words import choice

_TASKS = {"chat": "generate", "embed": "embed"}
"""What the models of retrieval-augmented chat are for, by their roles."""


def pipeline_mistakes(document: Document, entries: Sequence[tuple[int, dict[str, Any]]]) -> Iterator[Mistake]:
    """Yield the mistakes in ``engine_args.models`` of every pipeline.

    Args:
        document: the file.
        entries: its entries that have a name, by their places.
    """
    models = {entry["name"]: entry for _, entry in entries if "engine" in entry}
    asked = {name: _asked(entry) for name, entry in models.items()}
    for i, entry in entries:
        for role, name in _asked(entry).items():
            key: KeyPath = ("models", i, "engine_args", "models", role)
            task = _TASKS.get(role) if entry["engine_args"].get("class") == RETRIEVAL else None
            if name not in models:
                yield document.mistake(key, f"no engine serves a model {name!r}", choice(name, models))
            elif entry["name"] in _reached(name, asked):
                yield document.mistake(key, f"{name!r} asks {entry['name']!r} in turn: a circle has no end")
            elif task and models[name].get("task", "generate") != task:
                yield document.mistake(key, f"{name!r} is for another task", f"it needs one with task: {task}")


def _asked(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return the names that a pipeline asks, by role."""
    args = entry.get("engine_args")
    models = args.get("models") if entry.get("engine") == "pipeline" and isinstance(args, dict) else None
    return {role: name for role, name in models.items() if isinstance(name, str)} if isinstance(models, dict) else {}


def _reached(name: str, asked: Mapping[str, Mapping[str, str]]) -> set[str]:
    """Return a model, and all that it asks, directly or not."""
    reached: set[str] = set()
    waiting = [name]
    while waiting:
        if (one := waiting.pop()) not in reached:
            reached.add(one)
            waiting += asked.get(one, {}).values()
    return reached
