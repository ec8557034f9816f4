"""``response_format``: the form that an answer must have, and the grammar that holds it to that."""

import json
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from engines.transformers.body import RequestError, Strict

STYLE = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False, "coerce_one_of": True}
"""JSON as ``json.dumps`` writes it: a small model that may put blanks anywhere puts them there without end.

``oneOf`` is taken as ``anyOf``.
"""

Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


class JsonSchema(Strict):
    """A schema with a name; ``strict`` means that every keyword counts, or the request is refused."""

    name: Name
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = False


class ResponseFormat(Strict):
    """Text, any JSON object, or JSON after a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _a_schema_when_it_says_so(self) -> "ResponseFormat":
        if (self.type == "json_schema") != (self.json_schema is not None):
            param = "response_format.json_schema"
            if self.json_schema is None:
                raise RequestError(
                    f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param
                )
            raise RequestError(f"'{param}' goes with the type 'json_schema' only.", code="invalid_value", param=param)
        return self

    def grammar(self) -> str | None:
        """Return the answer's form in the grammar library's variant of Lark, as part of a rule; text has none."""
        if self.type == "text":
            return None
        if self.json_schema is None:
            return json_after({"type": "object"}, strict=True)
        return json_after(self.json_schema.schema_ or {}, strict=bool(self.json_schema.strict))


def json_after(schema: dict[str, Any], *, strict: bool) -> str:
    """Return the grammar of JSON after a schema.

    Args:
        schema: as the client sent it.
        strict: whether keywords that are not supported make the grammar fail; else they are ignored.
    """
    return f"%json {json.dumps({**schema, 'x-guidance': {**STYLE, 'lenient': not strict}})}"
