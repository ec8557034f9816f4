"""The closed list of each endpoint's fields: what is not on it reaches no engine, so what is forwarded was counted.

The list is the body's class. A field there is checked by its type; a marker says what else becomes of it. What prompts
and limits read, they read from what :func:`forwarded` returns: the very body that an engine is sent.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from gateway.config.settings import Bounds
from gateway.http import errors


@dataclass(frozen=True)
class Marker:
    """What becomes of a field; for ``docs/fields.md`` as well.

    Attributes:
        fate: in the page's words.
        is_sent: whether engines see it.
        is_sized: whether it is held to ``bounds.max_schema_bytes``, as JSON.
    """

    fate: str
    is_sent: bool = True
    is_sized: bool = False


CHECKED = Marker("checked here")
SIZED = Marker("checked here", is_sized=True)
ENGINES = Marker("the engine decides", is_sized=True)
EXTENSION = Marker("an engine's own", is_sized=True)
DROPPED = Marker("dropped: it changes nothing", is_sent=False)

Engines = Annotated[Any, ENGINES]
"""A field of the API that each engine honours or refuses by its own rules."""

Dropped = Annotated[Any, DROPPED]
"""A field that clients add by themselves and that changes no answer."""

Flag = Annotated[bool | None, EXTENSION]
Limited = Annotated[int | None, Field(ge=0, le=2**31), EXTENSION]
Object = Annotated[dict[str, Any] | None, EXTENSION]

_OPERATORS_ONLY = frozenset(
    {
        "chat_template",
        "ec_transfer_params",
        "kv_transfer_params",
        "media_io_kwargs",
        "mm_processor_kwargs",
        "priority",
        "request_id",
    }
)
"""Fields of engines' own that would let a client jump the queue, name another's request, or run a program."""

_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")


class Strict(BaseModel):
    """Fields that Raygate checks itself; what else an object inside a body holds goes to the engine as it came."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)


class Closed(BaseModel):
    """A body: its fields are all that its endpoint takes. What else came is refused before it is read."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


Body = TypeVar("Body", bound=BaseModel)
ClosedBody = TypeVar("ClosedBody", bound=Closed)


def marker_of(field: FieldInfo) -> Marker:
    """Return what becomes of a field of a body."""
    return next((each for each in field.metadata if isinstance(each, Marker)), CHECKED)


@cache
def listed(body: type[Closed]) -> Mapping[str, Marker]:
    """Return an endpoint's closed list: each field by the name that clients use."""
    return {field.alias or name: marker_of(field) for name, field in body.model_fields.items()}


def checked(body: type[ClosedBody], payload: dict[str, Any], bounds: Bounds) -> ClosedBody:
    """Return the checked fields of a request.

    Raises:
        ApiError: 400, naming the first field that is wrong, as a dotted path, or that the endpoint does not have.
    """
    markers = listed(body)
    for name, value in payload.items():
        if value is None:
            continue
        if name in _OPERATORS_ONLY:
            raise errors.unsupported_parameter(name, "It is not for clients to set.")
        if name not in markers:
            raise errors.unsupported_parameter(printable(name), "This endpoint has no such field.")
        if markers[name].is_sized:
            check_size(name, value, bounds.max_schema_bytes)
    _check_template(payload.get("chat_template_kwargs"))
    return validated(body, payload)


def validated(body: type[Body], payload: Mapping[str, Any]) -> Body:
    """Return the fields of an object as its class wants them.

    Raises:
        ApiError: 400, naming the first that is wrong as a dotted path.
    """
    try:
        return body.model_validate(payload)
    except ValidationError as error:
        raise errors.from_validation(error.errors(include_input=False, include_url=False)) from None


def forwarded(body: type[Closed], payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a checked request an engine is sent: the listed fields that are set. Null means not set."""
    markers = listed(body)
    return {
        name: value
        for name, value in payload.items()
        if value is not None and name in markers and markers[name].is_sent
    }


def without_unknown(body: type[Closed], payload: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a request without the fields that its endpoint does not have, and their names, fit for a header."""
    known = listed(body).keys() | _OPERATORS_ONLY
    dropped = [printable(name) for name, value in payload.items() if name not in known and value is not None]
    return {name: value for name, value in payload.items() if name in known}, dropped


def _check_template(arguments: Any) -> None:
    """Refuse a template, which is a program, in place of arguments for the model's own."""
    if isinstance(arguments, dict):
        for name in sorted(_OPERATORS_ONLY & arguments.keys()):
            raise errors.unsupported_parameter(f"chat_template_kwargs.{name}", "It is not for clients to set.")


def check_size(name: str, value: Any, limit: int) -> None:
    """Refuse a part of the body, a schema say, that is larger than ``limit`` bytes; raises a 400."""
    try:
        size = len(orjson.dumps(value)) if value else 0
    except TypeError:
        raise errors.invalid_value(name, f"'{name}' holds a number that JSON's readers do not agree on.") from None
    if size > limit:
        raise errors.invalid_value(name, f"'{name}' is larger than {limit} bytes.")


def printable(name: str) -> str:
    """Return a client's own name for a field as far as it may be repeated: never more than a name."""
    return name if _NAME.fullmatch(name) else "?"
