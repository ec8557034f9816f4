"""The messages of a conversation."""

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from engines.transformers.body import UNSUPPORTED, Refused, Strict, only


def _text(content: Any) -> Any:
    """Return a content's text, its parts one a line.

    Raises:
        PydanticCustomError: for parts other than text.
    """
    if not isinstance(content, list):
        return content
    for part in content:
        if not isinstance(part, dict) or not isinstance(part.get("text", ""), str):
            raise PydanticCustomError("invalid_part", "Each part should be an object with a type and a text")
        if part.get("type") != "text":
            raise PydanticCustomError(UNSUPPORTED, "This model takes text only")
        if "text" not in part:
            raise PydanticCustomError("missing", "A text part needs its text")
    return "\n".join(part["text"] for part in content)


Text = Annotated[str, BeforeValidator(_text)]


class CalledFunction(Strict):
    """What was called, its arguments as the JSON that the model wrote."""

    name: str
    arguments: str


class ToolCall(Strict):
    """A call that the assistant made."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction

    def for_template(self) -> dict[str, Any]:
        """Return the call as chat templates know it: with the arguments as an object."""
        try:
            arguments = json.loads(self.function.arguments)
        except ValueError:
            arguments = self.function.arguments
        return {
            "id": self.id, "type": "function", "function": {"name": self.function.name, "arguments": arguments},
        }  # fmt: skip


class Message(Strict):
    """One message of a conversation. An assistant's own message can be sent back as it was received."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    tool_calls: list[ToolCall] | None = Field(default=None, max_length=128)
    content: Text | None = Field(default=None, validate_default=True)
    tool_call_id: str | None = Field(default=None, validate_default=True)
    name: str | None = None
    refusal: Refused = None
    annotations: Annotated[Any, only([])] = None
    audio: Refused = None
    function_call: Refused = None

    @field_validator("tool_calls")
    @classmethod
    def _called_by_the_assistant(cls, calls: list[ToolCall] | None, info: ValidationInfo) -> list[ToolCall] | None:
        if calls and info.data.get("role") != "assistant":
            raise PydanticCustomError("foreign_calls", "Only an assistant calls")
        return calls

    @field_validator("content")
    @classmethod
    def _said_unless_called(cls, content: str | None, info: ValidationInfo) -> str | None:
        if content is None and not info.data.get("tool_calls"):
            raise PydanticCustomError("missing", "Only a message with calls needs no content")
        return content

    @field_validator("tool_call_id")
    @classmethod
    def _answers_a_call(cls, call: str | None, info: ValidationInfo) -> str | None:
        if call is None and info.data.get("role") == "tool":
            raise PydanticCustomError("missing", "A tool's message needs the call that it answers")
        return call

    def for_template(self) -> dict[str, Any]:
        """Return the message as chat templates know it."""
        role = "system" if self.role == "developer" else self.role
        message: dict[str, Any] = {"role": role, "content": self.content or ""}
        if self.tool_calls:
            message["tool_calls"] = [call.for_template() for call in self.tool_calls]
        return message | {
            name: value for name in ("tool_call_id", "name") if (value := getattr(self, name)) is not None
        }
