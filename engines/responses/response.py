"""The ``response`` object and the items of its output, as OpenAI's API reference has them."""

import time
import uuid
from collections.abc import Sequence
from typing import Any

from engines.responses.items import Json
from engines.responses.request import Request

_WHEN_GIVEN = ("prompt_cache_key", "safety_identifier", "user")
"""Fields that are not there, rather than null, when the request does not have them."""

INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why an answer is incomplete, by the chat's ``finish_reason``; every other reason completes it."""

_FAILURE = {"code": "server_error", "message": "The model stopped before the answer was complete. Please retry."}


def new_id(prefix: str) -> str:
    """Return a unique id such as ``msg_...``."""
    return f"{prefix}_{uuid.uuid4().hex}"


def begun(request: Request) -> Json:
    """Return the response to ``request`` before anything is generated."""
    return {
        "id": new_id("resp"),
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "background": False,
        "completed_at": None,
        "conversation": None,
        "error": None,
        "incomplete_details": None,
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": request.max_tool_calls,
        "metadata": request.metadata or {},
        "model": request.model,
        "output": [],
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": None,
        "prompt": None,
        "prompt_cache_retention": None,
        "reasoning": {"effort": request.reasoning and request.reasoning.effort, "summary": None},
        "service_tier": "default",
        "store": False,
        "temperature": 1.0 if request.temperature is None else request.temperature,
        "text": _text(request),
        "tool_choice": request.tool_choice or "auto",
        "tools": [_function(tool) for tool in request.tools or ()],
        "top_logprobs": request.top_logprobs or 0,
        "top_p": 1.0 if request.top_p is None else request.top_p,
        "truncation": "disabled",
        **{name: told for name in _WHEN_GIVEN if (told := getattr(request, name)) is not None},
    }


def ended(response: Json, output: Sequence[Json], finish_reason: str | None, usage: Json | None) -> Json:
    """Return the response with its output: completed, or incomplete."""
    reason = INCOMPLETE.get(finish_reason or "")
    return {
        **response,
        "status": "incomplete" if reason else "completed",
        "completed_at": None if reason else int(time.time()),
        "incomplete_details": {"reason": reason} if reason else None,
        "output": list(output),
        **({"usage": _usage(usage)} if usage else {}),
    }


def failed(response: Json, output: Sequence[Json]) -> Json:
    """Return the response of a model that broke down."""
    return {**response, "status": "failed", "error": _FAILURE, "output": list(output)}


def message_item(item_id: str, content: Sequence[Json], status: str) -> Json:
    """Return what the model says."""
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": list(content)}


def text_part(text: str, logprobs: Sequence[Json] = (), annotations: Sequence[Json] = ()) -> Json:
    """Return the content of a message."""
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": list(logprobs)}


def reasoning_item(item_id: str, content: Sequence[Json], status: str) -> Json:
    """Return what the model thinks before it speaks."""
    return {"id": item_id, "type": "reasoning", "status": status, "summary": [], "content": list(content)}


def reasoning_part(text: str) -> Json:
    """Return the content of a reasoning."""
    return {"type": "reasoning_text", "text": text}


def call_item(item_id: str, call_id: str, name: str, arguments: str, status: str) -> Json:
    """Return a call of a function."""
    return {
        "id": item_id,
        "type": "function_call",
        "status": status,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }


def _text(request: Request) -> Json:
    given = request.text and request.text.format
    return {"format": given or {"type": "text"}, "verbosity": "medium"}


def _function(tool: Json) -> Json:
    return {"description": None, "parameters": None, "strict": False, **tool}


def _usage(chat: Json) -> Json:
    prompt, completion = chat.get("prompt_tokens") or 0, chat.get("completion_tokens") or 0
    cached = (chat.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    reasoning = (chat.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": prompt + completion,
    }


def output_of(message: Json, logprobs: Sequence[Json], finish_reason: str | None) -> list[Json]:
    """Return the output that a chat's whole message comes to."""
    status = "incomplete" if finish_reason in INCOMPLETE else "completed"
    output: list[Json] = []
    if thought := message.get("reasoning") or message.get("reasoning_content"):
        output.append(reasoning_item(new_id("rs"), [reasoning_part(thought)], "completed"))
    calls: Sequence[Any] = message.get("tool_calls") or ()
    if message.get("content") or not calls:
        annotations = [_flat(annotation) for annotation in message.get("annotations") or ()]
        part = text_part(message.get("content") or "", logprobs, annotations)
        output.append(message_item(new_id("msg"), [part], "completed" if calls else status))
    for call in calls:
        called = call["function"]
        output.append(call_item(new_id("fc"), call["id"], called["name"], called["arguments"], status))
    return output


def _flat(annotation: Json) -> Json:
    """Return a chat's annotation, whose fields are in one named as its type, as a response has it."""
    kind = annotation["type"]
    return {"type": kind, **annotation[kind]}
