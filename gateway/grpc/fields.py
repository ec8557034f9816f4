"""Protobuf messages from and to the JSON objects that they stand for: the names are the same.

What a message has no field for is in its ``extra``, where it has one.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value

EXTRA = "extra"

_EXACT = 2**53
"""Up to here a double, which is all that a Struct has for numbers, holds every whole number."""


def to_json(message: Message) -> dict[str, Any]:
    """Return the JSON object that a message stands for: the fields that are set, over those in ``extra``."""
    fields: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.name == EXTRA:
            fields = {**_plain_struct(value), **fields}
        elif isinstance(value, Message):
            fields[field.name] = to_json(value)
        elif isinstance(value, Mapping):
            fields[field.name] = dict(value)
        elif field.is_repeated:
            fields[field.name] = [to_json(item) if isinstance(item, Message) else item for item in value]
        else:
            fields[field.name] = value
    return fields


def fill(message: Message, fields: Mapping[str, Any]) -> None:
    """Put a JSON object into a message; what is null or an empty list is left out.

    Raises:
        TypeError, ValueError: when a value does not fit its field.
    """
    known = message.DESCRIPTOR.fields_by_name
    for name, value in fields.items():
        if value is None or value == []:
            continue
        if name not in known:
            if EXTRA in known:
                getattr(message, EXTRA).update({name: value})
        elif isinstance(value, list):
            _extend(getattr(message, name), value)
        elif isinstance(value, Mapping):
            inner = getattr(message, name)
            inner.SetInParent()
            fill(inner, value)
        else:
            setattr(message, name, value)


def _extend(repeated: Any, values: list[Any]) -> None:
    for value in values:
        if isinstance(value, Mapping):
            fill(repeated.add(), value)
        else:
            repeated.append(value)


def _plain_struct(struct: Struct) -> dict[str, Any]:
    return {name: _plain(value) for name, value in struct.fields.items()}


def _plain(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            return _plain_struct(value.struct_value)
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
        case "number_value":
            number = value.number_value
            # The API tells 5 from 5.0: a count must be whole.
            return int(number) if number.is_integer() and abs(number) <= _EXACT else number
        case "bool_value":
            return value.bool_value
        case "string_value":
            return value.string_value
    return None
