"""What an engine sends outside the form that ``engines.base`` states, put into it: parsed, as nothing else is."""

from collections.abc import Iterator
from typing import Any

import orjson

from gateway.answers.answer import EngineLost
from gateway.http import errors

Json = dict[str, Any]

DONE = b"data: [DONE]\n\n"
_MARK = "\N{BYTE ORDER MARK}".encode()


def parsed(data: bytes) -> Json:
    """Return the object in a text of JSON.

    Raises:
        EngineLost: it is none.
    """
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise EngineLost from None
    if not isinstance(found, dict):
        raise EngineLost
    return found


def as_event(chunk: Json) -> bytes:
    """Return one server-sent event."""
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def chunks(event: bytes, said: str) -> bytes:
    """Return an event of a stream of completions as those of the form that say the same.

    Args:
        event: without its empty line; its fields in any order (WHATWG HTML, 9.2.6).
        said: the field in which a choice that says nothing is to say so: ``delta``, or ``text``.
    """
    name, data = _fields(event)
    if not data:
        return b""
    if data.strip() == b"[DONE]":
        return DONE
    try:
        chunk = parsed(data)
    except EngineLost:
        return b"data: " + errors.engine_lost().body() + b"\n\n"
    if name == b"error" or chunk.get("error"):
        return as_event({"error": chunk.get("error") or chunk})
    return b"".join(map(as_event, _told(chunk, said)))


def named(event: bytes) -> bytes:
    """Return an event of other APIs with both its lines, and nothing beside them.

    Raises:
        EngineLost: its data is no object.
    """
    name, data = _fields(event)
    if not data or data.strip() == b"[DONE]":
        return b""
    told = parsed(data)
    kind = str(told.get("type") or name.decode(errors="replace")).replace("\n", "")
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps(told))


def _told(chunk: Json, said: str) -> Iterator[Json]:
    """Yield a chunk's choices and its usage, each in a chunk of its own."""
    head = {name: value for name, value in chunk.items() if name not in {"error", "usage"}}
    given = chunk.get("choices")
    choices = [_choice(choice, said) for choice in given if isinstance(choice, dict)] if isinstance(given, list) else []
    if choices:
        yield {**head, "choices": choices}
    if isinstance(chunk.get("usage"), dict):
        yield {**head, "choices": [], "usage": chunk["usage"]}


def _choice(choice: Json, said: str) -> Json:
    said = "delta" if "delta" in choice else said
    empty: Any = {} if said == "delta" else ""
    reason = choice.get("finish_reason")
    ended = reason if isinstance(reason, str) and reason else None
    return {"index": 0, **choice, said: choice.get(said) or empty, "finish_reason": ended}


def _fields(event: bytes) -> tuple[bytes, bytes]:
    """Return the name and the data of an event."""
    lines = [line.partition(b":") for line in event.removeprefix(_MARK).split(b"\n")]
    fields = [(name, value.removeprefix(b" ")) for name, _, value in lines]
    data = b"\n".join(value for name, value in fields if name == b"data")
    return next((value for name, value in reversed(fields) if name == b"event"), b""), data
