"""The API's shapes of a pipeline's answer: whole, or as events."""

import contextlib
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from typing import Any, TypeAlias

import orjson

from engines.pipeline.chat import Citation, Delta
from engines.pipeline.errors import ApiError
from engines.pipeline.usage import NOTHING, Usage

_FINGERPRINT = "fp_pipeline"

DONE = b"data: [DONE]\n\n"

Parts: TypeAlias = AsyncGenerator[Delta | Usage, None]
"""A pipeline's deltas, then what all models used."""


def heading(model: str) -> dict[str, Any]:
    """Return what every part of one answer begins with."""
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}


async def whole(head: dict[str, Any], parts: Parts) -> bytes:
    """Return the ``chat.completion``."""
    text, reason, usage = "", "stop", NOTHING
    annotations: list[dict[str, Any]] = []
    async for part in parts:
        if isinstance(part, Usage):
            usage = part
            continue
        annotations += _annotations(part.citations, len(text))
        text += part.text
        reason = part.finish_reason or reason
    message = {"role": "assistant", "content": text, "refusal": None, "annotations": annotations}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
    fields = {"object": "chat.completion", "choices": [choice], "usage": usage.as_dict()}
    return orjson.dumps({**head, **fields, "service_tier": None, "system_fingerprint": _FINGERPRINT})


async def events(head: dict[str, Any], parts: Parts, *, include_usage: bool) -> AsyncGenerator[bytes, None]:
    """Yield the ``chat.completion.chunk`` events; what breaks the answer off is the last of them."""

    def chunk(choices: list[dict[str, Any]], **more: Any) -> bytes:
        fields = {"object": "chat.completion.chunk", "system_fingerprint": _FINGERPRINT, "choices": choices, **more}
        return b"data: " + orjson.dumps({**head, **fields}) + b"\n\n"

    def choice(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
        return chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}])

    reason, usage = "stop", NOTHING
    try:
        yield choice({"role": "assistant", "content": ""})
        async with contextlib.aclosing(parts):
            async for part in parts:
                if isinstance(part, Usage):
                    usage = part
                    continue
                reason = part.finish_reason or reason
                if part.text:
                    yield choice({"content": part.text})
        yield choice({}, reason)
        if include_usage:
            yield chunk([], usage=usage.as_dict())
    except ApiError as error:
        yield b"data: " + orjson.dumps(error.fields()) + b"\n\n"
    yield DONE


def _annotations(citations: Sequence[Citation], offset: int) -> list[dict[str, Any]]:
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": offset + citation.start,
                "end_index": offset + citation.end,
                "title": citation.title,
                "url": citation.url,
            },
        }
        for citation in citations
    ]
