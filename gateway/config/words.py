"""Puts what pydantic found wrong into an operator's words: where in the file, and what is allowed there."""

import difflib
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.file import Document, KeyPath, Mistake
from gateway.config.schema import ALIAS_TAG, MODEL_TAG, ModelConfig
from gateway.config.settings import AliasEntry

_TAGS: dict[str | int, type[BaseModel]] = {MODEL_TAG: ModelConfig, ALIAS_TAG: AliasEntry}
_PATTERNS: dict[str | int, str] = {
    "name": "up to 128 letters, digits and . _ : / -, beginning with a letter or digit",
    "base_url": "an http:// or https:// address",
    "otlp_endpoint": "an http:// or https:// address",
    "class": "module:Name",
}


def explained(
    document: Document, error: ValidationError, section: type[BaseModel], above: KeyPath = ()
) -> Iterator[Mistake]:
    """Yield pydantic's findings as mistakes with a place in the file and what is allowed there."""
    for found in error.errors(include_url=False):
        key = (*above, *(part for part in found["loc"] if part not in _TAGS))
        yield document.mistake(key, *_in_words(found, section))


def _in_words(found: ErrorDetails, section: type[BaseModel]) -> tuple[str, str]:
    """Return what is wrong and what is allowed."""
    last = found["loc"][-1] if found["loc"] else ""
    problem, allowed = f"got {_shown(found['input'])}", f"it {found['msg'].removeprefix('Input ')}"
    match found["type"]:
        case "missing":
            problem, allowed = "is missing", ""
        case "extra_forbidden":
            problem, allowed = "unknown key", choice(str(last), _keys(_section_at(section, found["loc"][:-1])))
        case "literal_error":
            expected = found["ctx"]["expected"].replace(" or ", ", ").split(", ")
            allowed = choice(str(found["input"]), [name.strip("'") for name in expected])
        case "string_pattern_mismatch":
            allowed = f"allowed: {_PATTERNS[last]}"
        case "value_error":
            problem, allowed = str(found["ctx"]["error"]), ""
        case "model_type" | "model_attributes_type" | "dict_type":
            allowed = "it should be a mapping of keys to values"
    return problem, allowed


def choice(given: str, known: Iterable[str]) -> str:
    """Return what is allowed, with a guess at what was meant."""
    known = list(dict.fromkeys(known))
    near = difflib.get_close_matches(given, known, n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    return f"{guess}allowed: {', '.join(known) or 'none'}"


def _shown(value: Any, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}..."


def _section_at(section: type[BaseModel], loc: tuple[str | int, ...]) -> type[BaseModel]:
    """Return the model that holds the keys at a pydantic error's location."""
    for part in loc:
        if part in _TAGS:
            section = _TAGS[part]
        elif isinstance(part, str):
            field = next(it for name, it in section.model_fields.items() if part in (name, it.alias))
            section = next(_sections(field.annotation))
    return section


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections(inner)


def _keys(section: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in section.model_fields.items()]
