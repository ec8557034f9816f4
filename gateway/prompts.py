"""How many tokens a prompt will be, before an engine has counted: what admission reserves."""

from collections.abc import Iterator
from typing import Any

from gateway.call import Call
from gateway.settings import ModelEntry

BYTES_PER_TOKEN = 4
"""Of English text under byte-level BPE; for models whose tokenizer is not at hand."""

MESSAGE_TOKENS = 4
"""What a chat template adds to each message."""


class Prompts:
    """Estimates by model."""

    async def estimate(self, model: ModelEntry, call: Call) -> int:
        """Return about how many prompt tokens the engine of ``model`` will count for ``call``."""
        del model
        messages = call.payload.get("messages") or []
        size = sum(len(text.encode()) for text in _texts(call.payload))
        return -(-size // BYTES_PER_TOKEN) + MESSAGE_TOKENS * (len(messages) + 1)


def _texts(payload: dict[str, Any]) -> Iterator[str]:
    for message in payload.get("messages") or []:
        content = message.get("content")
        if isinstance(content, str):
            yield content
        elif isinstance(content, list):
            yield from (part["text"] for part in content if isinstance(part.get("text"), str))
