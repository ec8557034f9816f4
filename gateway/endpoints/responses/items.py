"""The items of a conversation: as they are listed, as engines are sent them, and as limits count them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson

from gateway.endpoints.call import Prompt, is_text, said_by, texts_of
from objects.ids import new_id
from objects.responses import StoredResponse

Json = dict[str, Any]

_PREFIXES = {"message": "msg_", "function_call": "fc_", "function_call_output": "fco_", "reasoning": "rs_"}
_ROLES = {"function_call": "assistant", "function_call_output": "tool"}


def listed(given: str | Sequence[Json]) -> list[Json]:
    """Return ``input`` as ``GET .../input_items`` lists it: items with ids, whose messages have parts."""
    return [_listed(item) for item in as_items(given)]


def as_items(given: str | Sequence[Json]) -> Sequence[Json]:
    """Return ``input`` as items; a text is a user's message."""
    return [{"role": "user", "content": given}] if isinstance(given, str) else given


def history(turns: Iterable[StoredResponse]) -> Iterator[Json]:
    """Yield what has been said, as an engine is sent it: without ids, which it does not know, and thoughts."""
    for turn in turns:
        for item in (*turn.input, *turn.body["output"]):
            if item["type"] != "reasoning":
                yield {name: value for name, value in item.items() if name not in {"id", "status"}}


def prompt_of(instructions: str | None, items: Sequence[Json], tools: Sequence[Json] | None) -> Prompt:
    """Return what becomes the model's prompt."""
    roles = [_ROLES.get(item.get("type", ""), item.get("role", "user")) for item in items]
    return Prompt(
        texts=(*texts_of(instructions), *(text for item in items for text in said_by(item))),
        tools=orjson.dumps(tools).decode() if tools else "",
        messages=[{"role": role} for role in (["system"] if instructions else []) + roles],
        is_text=all(is_text(item.get(name)) for item in items for name in ("content", "output")),
    )


def _listed(item: Json) -> Json:
    kind = item.get("type", "message")
    item = {"id": new_id(_PREFIXES.get(kind, "item_")), "type": kind, "status": "completed", **item}
    if kind == "message" and isinstance(item.get("content"), str):
        item["content"] = [_part(item.get("role"), item["content"])]
    return item


def _part(role: Any, text: str) -> Json:
    if role == "assistant":
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "input_text", "text": text}
