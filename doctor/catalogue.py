"""All checks, family by family."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from types import ModuleType

from doctor import (
    bounds,
    chat,
    chat_stream,
    completions,
    conformity,
    disconnect,
    embeddings,
    errors,
    files,
    headers,
    logprobs,
    models,
    responses,
    structured,
    tools,
)
from doctor.check import Check

FAMILIES = (
    errors,
    headers,
    bounds,
    models,
    chat,
    chat_stream,
    tools,
    structured,
    logprobs,
    completions,
    embeddings,
    responses,
    files,
    disconnect,
    conformity,
)


def checks_of(family: ModuleType) -> Iterator[Check]:
    """Yield the checks of a module, in its order."""
    return (value for value in vars(family).values() if isinstance(value, Check))


CHECKS = tuple(check for family in FAMILIES for check in checks_of(family))


def chosen(pattern: str) -> list[Check]:
    """Return the checks whose name or line a glob matches: ``tools/*``, ``C4.*``."""
    return [check for check in CHECKS if fnmatchcase(check.name, pattern) or fnmatchcase(check.line, pattern)]
