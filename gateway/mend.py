"""An engine's answers in OpenAI's shape, where vLLM's differ in what a client can notice.

Whole answers are parsed anyway, for their usage. Of a stream only its two rare events come here: the one that ends a
choice, and the usage.
"""

from collections.abc import Iterator
from typing import Any

NO_DETAILS = {"reasoning_tokens": 0}

_OF_OPENAI = frozenset({"content", "refusal", "logprobs", "finish_reason", "service_tier", "system_fingerprint"})
"""Fields that stay when they are null; other engines' own fields are told only when they say something."""


def completion(answer: dict[str, Any]) -> dict[str, Any]:
    """Return a whole answer with the fields that OpenAI's schema requires, and no nulls beside them."""
    for choice in answer.get("choices", ()):
        if message := choice.get("message"):
            choice["message"] = {**told(message), "annotations": message.get("annotations") or []}
    answer["choices"] = [told(choice) for choice in answer.get("choices", ())]
    if answer.get("usage"):
        answer["usage"] = usage(answer["usage"])
    return told(answer)


def pooled(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer that generated nothing; its usage counts the prompt, and nothing else."""
    if counted := answer.get("usage"):
        answer["usage"] = {name: counted.get(name, 0) for name in ("prompt_tokens", "total_tokens")}
    return told(answer)


def usage(counted: dict[str, Any]) -> dict[str, Any]:
    """Return a ``usage`` object with its details."""
    prompt = told(counted.get("prompt_tokens_details") or {})
    return {
        **counted,
        "prompt_tokens_details": {"cached_tokens": 0, **prompt},
        "completion_tokens_details": counted.get("completion_tokens_details") or NO_DETAILS,
    }


def ending(chunk: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a chunk that ends a choice as OpenAI sends it: the last delta, then an empty one with the reason."""
    last = [choice for choice in chunk["choices"] if any(choice["delta"].values())]
    if last:
        yield {**chunk, "choices": [{**choice, "finish_reason": None} for choice in last]}
    ends = [{**choice, "delta": {}, "logprobs": None} for choice in chunk["choices"] if choice["finish_reason"]]
    yield {**chunk, "choices": ends}


def told(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that say something."""
    return {name: value for name, value in fields.items() if value is not None or name in _OF_OPENAI}
