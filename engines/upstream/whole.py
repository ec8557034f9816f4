"""Another server's whole answer, in our own form."""

from typing import Any

import orjson

from engines.upstream.canonical import counted, objects, parsed
from engines.upstream.failures import UpstreamFailed

GENERATING = frozenset({"chat/completions", "completions"})
"""Paths whose answers are made of choices."""

_FAILURES = frozenset({"error", "abort"})


def canonical(path: str, body: bytes, model: str) -> bytes:
    """Return an answer with status 200 as it leaves.

    Args:
        path: behind ``/v1/``.
        body: the other server's.
        model: our name of the model.

    Raises:
        UpstreamFailed: it is none: an error under another status, HTML, an answer without choices.
    """
    answer = parsed(body)
    if answer.get("error") or answer.get("object") == "error":
        raise UpstreamFailed("it sent an error with status 200")
    if path in GENERATING:
        choices = objects(answer.get("choices"))
        if not choices or any(choice.get("finish_reason") in _FAILURES for choice in choices):
            raise UpstreamFailed("it sent an answer without choices")
        answer["choices"] = [_finished(choice) for choice in choices]
        answer["usage"] = counted(answer.get("usage"))
    return orjson.dumps({**answer, "model": model})


def _finished(choice: dict[str, Any]) -> dict[str, Any]:
    return {**choice, "finish_reason": choice.get("finish_reason") or "stop"}
