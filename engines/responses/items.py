"""Input items become the messages of a chat."""

from collections.abc import Sequence
from typing import Any, Literal

from engines.responses.refusal import UNSUPPORTED, Checked, Refusal, checked

Json = dict[str, Any]


class MessageItem(Checked):
    """A message."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Json]


class CallItem(Checked):
    """A call that the model made; ``arguments`` are the JSON that it wrote."""

    call_id: str
    name: str
    arguments: str


class CallOutputItem(Checked):
    """What a call returned."""

    call_id: str
    output: str | list[Json]


class TextPart(Checked):
    """A part of a content that is text."""

    text: str


class ImagePart(Checked):
    """A part of a content that is an image."""

    image_url: str
    detail: Literal["auto", "low", "high"] | None = None


def messages_of(instructions: str | None, given: str | Sequence[Any]) -> list[Json]:
    """Return the conversation.

    Args:
        instructions: become the first message, a system's.
        given: ``input`` of the request.

    Raises:
        Refusal: for an item that chat has no words for; ``reasoning`` items are passed over.
    """
    messages: list[Json] = [{"role": "system", "content": instructions}] if instructions else []
    if isinstance(given, str):
        return [*messages, {"role": "user", "content": given}]
    for place, item in enumerate(given):
        _add(messages, item, f"input.{place}")
    return messages


def _add(messages: list[Json], item: Any, where: str) -> None:
    kind = item.get("type", "message") if isinstance(item, dict) else None
    match kind:
        case "message":
            message = checked(MessageItem, item, where)
            messages.append({"role": message.role, "content": _content(message.content, f"{where}.content")})
        case "function_call":
            _add_call(messages, checked(CallItem, item, where))
        case "function_call_output":
            output = checked(CallOutputItem, item, where)
            content = _content(output.output, f"{where}.output")
            messages.append({"role": "tool", "tool_call_id": output.call_id, "content": content})
        case "reasoning":
            pass
        case _:
            raise Refusal("The model does not take input items of this type.", f"{where}.type", UNSUPPORTED)


def _add_call(messages: list[Json], item: CallItem) -> None:
    """Add a call to what the assistant has just said, or let it speak."""
    call = {"id": item.call_id, "type": "function", "function": {"name": item.name, "arguments": item.arguments}}
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    messages[-1].setdefault("tool_calls", []).append(call)


def _content(content: str | list[Json], where: str) -> str | list[Json]:
    if isinstance(content, str):
        return content
    parts = [_part(part, f"{where}.{place}") for place, part in enumerate(content)]
    if len(parts) == 1 and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts


def _part(part: Json, where: str) -> Json:
    match part.get("type"):
        case "input_text" | "output_text" | "text":
            return {"type": "text", "text": checked(TextPart, part, where).text}
        case "refusal":
            return {"type": "text", "text": checked(TextPart, {"text": part.get("refusal")}, where).text}
        case "input_image" if part.get("image_url"):
            image = checked(ImagePart, part, where)
            return {"type": "image_url", "image_url": {"url": image.image_url, "detail": image.detail or "auto"}}
        case _:
            raise Refusal("The model does not take content of this type.", f"{where}.type", UNSUPPORTED)
