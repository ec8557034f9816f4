"""Which endpoints a model serves: decided from its configuration, before any engine is asked."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from engines.base import Task
from gateway import paths
from gateway.config.settings import ModelEntry

Capability = Literal["streaming", "tools", "structured_outputs", "logprobs"]

_TEXT = (paths.CHAT, paths.COMPLETIONS, paths.RESPONSES)
_TOKENS = (paths.TOKENIZE, paths.DETOKENIZE)
_SERVED: dict[tuple[str, Task], tuple[str, ...]] = {
    ("vllm", "generate"): (*_TEXT, paths.MESSAGES, paths.COUNT_TOKENS, *_TOKENS),
    ("vllm", "embed"): (paths.EMBEDDINGS, paths.SCORE, paths.RERANK, *_TOKENS),
    ("vllm", "score"): (paths.SCORE, paths.RERANK, *_TOKENS),
    ("vllm", "transcribe"): (paths.TRANSCRIPTIONS,),
    ("transformers", "generate"): (*_TEXT, *_TOKENS),
    ("transformers", "embed"): (paths.EMBEDDINGS, *_TOKENS),
    ("upstream", "generate"): (*_TEXT, paths.MESSAGES, paths.COUNT_TOKENS),
    ("upstream", "embed"): (paths.EMBEDDINGS,),
    ("upstream", "score"): (paths.SCORE, paths.RERANK),
    ("upstream", "transcribe"): (paths.TRANSCRIPTIONS,),
    ("pipeline", "generate"): (paths.CHAT, paths.RESPONSES),
    ("echo", "generate"): _TEXT,
    ("echo", "embed"): (paths.EMBEDDINGS,),
    ("echo", "transcribe"): (paths.TRANSCRIPTIONS,),
}

_GENERATING: dict[str, tuple[Capability, ...]] = {
    "vllm": ("streaming", "tools", "structured_outputs", "logprobs"),
    "transformers": ("streaming", "tools", "structured_outputs", "logprobs"),
    "upstream": ("streaming",),
    "pipeline": ("streaming",),
    "echo": ("streaming",),
}
"""What is certain of an engine; another server may well do more."""


def endpoints_of(model: ModelEntry) -> tuple[str, ...]:
    """Return the paths that a model answers; none for a task that its engine cannot do."""
    return _SERVED.get((model.engine, model.task), ())


def tasks_of(engine: str) -> list[Task]:
    """Return what models on an engine may be for."""
    return [task for kind, task in _SERVED if kind == engine]


def endpoints_of_any(models: Iterable[ModelEntry]) -> tuple[str, ...]:
    """Return the paths that at least one of the models answers."""
    return tuple(dict.fromkeys(path for model in models for path in endpoints_of(model)))


def capabilities_of(models: Sequence[ModelEntry]) -> dict[str, Any]:
    """Return what ``/v1/models`` says of a name: which endpoints a model behind it serves, and what all of them can."""
    can = [_GENERATING.get(model.engine, ()) if model.task == "generate" else () for model in models]
    shared = [capability for capability in can[0] if all(capability in one for one in can)]
    return {"endpoints": list(endpoints_of_any(models)), "capabilities": shared}
