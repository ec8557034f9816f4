"""An engine's answers in OpenAI's shape, where vLLM's differ in what a client can notice.

Whole answers are parsed anyway, for their usage. Of a stream only its rare events come here: the end of a choice, the
opening of a tool call, and the usage.
"""

from collections.abc import Iterator
from typing import Any

NO_DETAILS = {"reasoning_tokens": 0}

FOREIGN_CALL = "chatcmpl-tool-"
"""How vLLM begins the id of a tool call where its model prescribes none."""

_OF_OPENAI = frozenset({"content", "refusal", "logprobs", "finish_reason", "service_tier", "system_fingerprint"})
"""Fields that stay when they are null; other engines' own fields are told only when they say something."""


def completion(answer: dict[str, Any]) -> dict[str, Any]:
    """Return a whole answer with the fields that OpenAI's schema requires, and no nulls beside them."""
    choices = [choice for choice in answer.get("choices") or () if isinstance(choice, dict)]
    for choice in choices:
        if message := choice.get("message"):
            choice["message"] = _message(message)
        choice.pop("stop_reason", None)
        if "content" in (choice.get("logprobs") or {}):
            choice["logprobs"].setdefault("refusal", None)
    answer["choices"] = [told(choice) for choice in choices]
    if isinstance(answer.get("usage"), dict):
        answer["usage"] = usage(answer["usage"])
    if answer.get("object") == "text_completion":
        answer.pop("service_tier", None)
    return told(answer)


def pooled(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer that generated nothing; its usage counts the prompt, and nothing else."""
    if isinstance(counted := answer.get("usage"), dict):
        answer["usage"] = {name: counted.get(name, 0) for name in ("prompt_tokens", "total_tokens")}
    return told(answer)


def usage(counted: dict[str, Any]) -> dict[str, Any]:
    """Return a ``usage`` object with its details."""
    details = counted.get("prompt_tokens_details")
    prompt = told(details) if isinstance(details, dict) else {}
    if "created_cache_tokens" in prompt:
        prompt["cache_write_tokens"] = prompt.pop("created_cache_tokens")
    return {
        **counted,
        "prompt_tokens_details": {"cached_tokens": 0, **prompt},
        "completion_tokens_details": counted.get("completion_tokens_details") or NO_DETAILS,
    }


def calling(chunk: dict[str, Any]) -> dict[str, Any]:
    """Return a chunk that opens tool calls with their ids and empty arguments as OpenAI sends them."""
    for choice in chunk.get("choices") or ():
        for call in (choice.get("delta") or {}).get("tool_calls") or ():
            if call.get("id"):
                call["id"] = _call_id(call["id"])
                call.setdefault("function", {}).setdefault("arguments", "")
    return chunk


def ending(chunk: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a chunk that ends a choice as OpenAI sends it: the last delta, then an empty one with the reason."""
    choices = chunk.get("choices") or []
    last = [choice for choice in choices if any((choice.get("delta") or {}).values())]
    if last:
        yield {**chunk, "choices": [{**choice, "finish_reason": None} for choice in last]}
    ends = [{**choice, "delta": {}, "logprobs": None} for choice in choices if choice.get("finish_reason")]
    yield {**chunk, "choices": ends}


def _message(message: dict[str, Any]) -> dict[str, Any]:
    calls = message.get("tool_calls")
    if calls:
        message["content"] = message.get("content") or None
        message["tool_calls"] = [{**call, "id": _call_id(call.get("id"))} for call in calls]
    return {**told(message), "annotations": message.get("annotations") or []}


def _call_id(given: Any) -> Any:
    return f"call_{given.removeprefix(FOREIGN_CALL)}" if str(given).startswith(FOREIGN_CALL) else given


def told(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that say something."""
    return {name: value for name, value in fields.items() if value is not None or name in _OF_OPENAI}
