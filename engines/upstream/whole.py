"""Another server's whole answer, in our own form."""

from typing import Any

import orjson

from engines.upstream.failures import UpstreamFailed
from engines.upstream.fields import Json, arguments, call_id, counted, head, objects, parsed, place, reason, text

GENERATING = frozenset({"chat/completions", "completions"})
"""Paths whose answers are made of choices."""


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
    if path not in GENERATING:
        return orjson.dumps({**answer, "model": model})
    given, is_chat = objects(answer.get("choices")), path == "chat/completions"
    if not given:
        raise UpstreamFailed("it sent an answer without choices")
    choices = [_choice(choice, at, is_chat) for at, choice in enumerate(given)]
    kind = "chat.completion" if is_chat else "text_completion"
    ours = head(answer, model, is_chat=is_chat, kind=kind)
    return orjson.dumps({**answer, **ours, "choices": choices, "usage": counted(answer.get("usage"))})


def _choice(choice: Json, at: int, is_chat: bool) -> Json:
    said = {"message": _message(choice.get("message"))} if is_chat else {"text": text(choice.get("text"))}
    ended = reason(choice.get("finish_reason")) or "stop"
    return {"logprobs": None, **choice, "index": place(choice.get("index"), at), **said, "finish_reason": ended}


def _message(given: Any) -> Json:
    message: Json = given if isinstance(given, dict) else {}
    calls = [_call(call) for call in objects(message.get("tool_calls"))]
    # A message that only calls tools has no content; any other has one, if an empty one.
    content = text(message.get("content")) or (None if calls or message.get("refusal") else "")
    told = {"refusal": None, **message, "role": "assistant", "content": content}
    told.pop("tool_calls", None)
    return {**told, "tool_calls": calls} if calls else told


def _call(call: Json) -> Json:
    """Return a tool call: with an id and a type, and its arguments as the text that they are in OpenAI's API."""
    named: Json = {**call, "id": call_id(call.get("id")), "type": call.get("type") or "function"}
    if isinstance(given := call.get("function"), dict):
        named["function"] = {**given, "arguments": arguments(given.get("arguments"))}
    return named
