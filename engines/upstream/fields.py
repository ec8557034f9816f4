"""The fields of other servers' JSON, read with care: what is none of its kind is as if it were not there."""

import time
import uuid
from typing import Any

import orjson

from engines.upstream.failures import UpstreamFailed

Json = dict[str, Any]

FINGERPRINT = "fp_upstream"
"""Of a server that tells none: the API's document wants a text."""

_LARGEST = 2**53
_DETAILS = ("prompt_tokens_details", "completion_tokens_details")
_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
_FAILURES = frozenset({"error", "abort", "insufficient_system_resource", "network_error", "model_error", "failed"})
_FOREIGN = {
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "tool_use": "tool_calls",
    "tool_call": "tool_calls",
    "safety": "content_filter",
    "content_filtered": "content_filter",
    "content_moderated": "content_filter",
    "sensitive": "content_filter",
    "recitation": "content_filter",
    "prohibited_content": "content_filter",
    "blocklist": "content_filter",
    "refusal": "content_filter",
    "error_toxic": "content_filter",
}
"""What servers call their reasons in other APIs, and in their own; any other word is taken for a plain end."""


def parsed(data: str | bytes) -> Json:
    """Return the object in a text of JSON; a byte order mark before it is passed over (RFC 8259, 8.1).

    Raises:
        UpstreamFailed: it is none: HTML, half a text, ``NaN``.
    """
    try:
        found = orjson.loads(data.removeprefix(b"\xef\xbb\xbf") if isinstance(data, bytes) else data)
    except orjson.JSONDecodeError:
        raise UpstreamFailed("it sent what is no JSON") from None
    if not isinstance(found, dict):
        raise UpstreamFailed("it sent what is no JSON object")
    return found


def counted(usage: Any) -> Json | None:
    """Return a ``usage`` that tells the prompt's tokens and the completion's; ``None`` for any other."""
    if not isinstance(usage, dict):
        return None
    completion = 0 if usage.get("completion_tokens") is None else whole_number(usage["completion_tokens"])
    prompt, total = whole_number(usage.get("prompt_tokens")), whole_number(usage.get("total_tokens"))
    if completion is None:
        return None
    if prompt is None and usage.get("prompt_tokens") is None and total is not None and total >= completion:
        prompt = total - completion
    if prompt is None:
        return None
    details = {name: usage[name] for name in _DETAILS if isinstance(usage.get(name), dict)}
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **details}


def whole_number(given: Any) -> int | None:
    """Return a JSON value as a count; ``None`` unless it is a number without fraction, from 0 to 2^53."""
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= _LARGEST:
        return None
    return int(given) if given == int(given) else None


def objects(given: Any) -> list[Json]:
    """Return the objects of a list, and nothing of what is none."""
    return [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []


def text(given: Any) -> str:
    """Return a text, or the texts of parts; anything else says nothing."""
    if isinstance(given, list):
        return "".join(text(part.get("text")) for part in objects(given))
    return given if isinstance(given, str) else ""


def place(given: Any, default: int) -> int:
    """Return an index; servers leave it out, or send null."""
    return given if isinstance(given, int) and not isinstance(given, bool) and given >= 0 else default


def arguments(given: Any) -> str:
    """Return a call's arguments as the text that they are in OpenAI's API; some servers send the object."""
    return given if isinstance(given, str) else "" if given is None else orjson.dumps(given).decode()


def reason(given: Any) -> str | None:
    """Return why a choice has ended, in the API's own words; ``None`` while it has not.

    Raises:
        UpstreamFailed: it has not ended well.
    """
    if not isinstance(given, str) or not given:
        return None
    told = given.lower()
    if told in _FAILURES:
        raise UpstreamFailed("a choice ended in an error")
    return told if told in _REASONS else _FOREIGN.get(told, "stop")


def call_id(given: Any) -> str:
    """Return a tool call's id, a new one where the server tells none."""
    return text(given) or f"call_{uuid.uuid4().hex}"


def head(answer: Json, model: str, *, is_chat: bool, kind: str) -> Json:
    """Return what every answer, and every chunk of a stream, begins with.

    Args:
        answer: the server's, or the first chunk of its stream.
        model: our name of the model.
        is_chat: of a chat, or of a text.
        kind: the answer's ``object``.
    """
    given, created, fingerprint = (answer.get(name) for name in ("id", "created", "system_fingerprint"))
    prefix = "chatcmpl" if is_chat else "cmpl"
    return {
        "id": given if isinstance(given, str) and given else f"{prefix}-{uuid.uuid4().hex}",
        "object": kind,
        "created": whole_number(created) or int(time.time()),
        "model": model,
        "system_fingerprint": fingerprint if isinstance(fingerprint, str) else FINGERPRINT,
    }
