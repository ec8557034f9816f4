"""``tools``: which functions the model may call, and the grammar of an answer that calls them.

A call is written in the Hermes form, which many models learn::

    <tool_call>
    {"name": "get_weather", "arguments": {"city": "Paris"}}
    </tool_call>
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import field_validator
from pydantic_core import PydanticCustomError

from engines.transformers.body import Strict
from engines.transformers.response_format import Name, json_after

OPEN = "<tool_call>"
CLOSE = "</tool_call>"

MAX_CALLS = 16
"""Calls in one answer: a small model that is free to call again may do so without end."""


class Function(Strict):
    """A function that the client offers; without ``parameters`` it takes none."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = False

    @field_validator("parameters")
    @classmethod
    def _an_object(cls, parameters: dict[str, Any] | None) -> dict[str, Any] | None:
        if parameters is not None and parameters.get("type", "object") != "object":
            raise PydanticCustomError("invalid_parameters", "The schema's type should be 'object'")
        return parameters

    def arguments(self) -> str:
        """Return the grammar of the function's arguments."""
        none = {"properties": {}, "additionalProperties": False}
        return json_after({**(self.parameters or none), "type": "object"}, strict=bool(self.strict))


class Tool(Strict):
    """A tool; there are functions only."""

    type: Literal["function"]
    function: Function

    def for_template(self) -> dict[str, Any]:
        """Return the tool as chat templates know it."""
        return self.model_dump(exclude_none=True, exclude={"function": {"strict"}})


class FunctionName(Strict):
    """One of the functions."""

    name: Name


class NamedTool(Strict):
    """The one tool that has to be called."""

    type: Literal["function"]
    function: FunctionName


@dataclass(frozen=True)
class Calling:
    """How the model may call in one answer.

    Attributes:
        functions: those that it may call.
        required: whether it has to.
        named: whether the client chose the function itself; the answer's finish reason is then ``stop``.
        parallel: whether it may call more than once.
    """

    functions: Sequence[Function]
    required: bool
    named: bool
    parallel: bool

    def grammar(self, answer: str | None) -> str:
        """Return the grammar of a whole answer.

        Args:
            answer: the grammar of an answer without calls; ``None`` for free text, which may also come before a call.
        """
        heads = [json.dumps(f'{function.name}", "arguments": ') for function in self.functions]
        bodies = " | ".join(
            f"{head} {function.arguments()}" for head, function in zip(heads, self.functions, strict=True)
        )
        further = f' ("\\n{OPEN}" call){{0,{MAX_CALLS - 1}}}' if self.parallel else ""
        if self.required:
            start = f'"{OPEN}" call{further}'
        elif answer:
            start = f'{answer} | "{OPEN}" call{further}'
        else:
            start = f"TEXT | text_and_open call{further}"
        return "\n".join(
            (
                f"start: {start}",
                f'text_and_open[lazy]: TEXT "{OPEN}"',
                "TEXT: /(.|\\n)*/",
                f'call: "\\n{{\\"name\\": \\"" ({bodies}) "}}\\n{CLOSE}"',
            )
        )
