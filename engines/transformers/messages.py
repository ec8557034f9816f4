"""The messages of a conversation."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from engines.transformers.body import UNSUPPORTED, Empty, Refused, Strict


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


class Message(Strict):
    """One message of a conversation. An assistant's own message can be sent back as it was received."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text
    name: str | None = None
    refusal: Refused = None
    annotations: Empty = None
    audio: Refused = None
    function_call: Refused = None
    tool_calls: Empty = None

    def for_template(self) -> dict[str, str]:
        """Return the message as chat templates know it."""
        role = "system" if self.role == "developer" else self.role
        named = {"name": self.name} if self.name else {}
        return {"role": role, "content": self.content, **named}
