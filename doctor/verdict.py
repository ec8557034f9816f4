"""How a check says what it found: it fails, or it does not apply, each for a reason of one line."""

from typing import Any

_BRIEF = 160


class Failed(Exception):
    """The server did something else; the message says what, in one line."""


class NotApplicable(Exception):
    """The sentence is about something that this server does not have; the message says what."""


def expect(condition: object, reason: str) -> None:
    """Raise :class:`Failed` for ``reason`` unless the condition holds."""
    if not condition:
        raise Failed(reason)


def expect_equal(what: str, found: Any, expected: Any) -> None:
    """Raise :class:`Failed` unless what was found is what was expected."""
    if found != expected:
        raise Failed(f"{what} is {brief(found)}, not {brief(expected)}")


def brief(value: Any) -> str:
    """Write a value for a reason: short, in one line."""
    text = repr(value)
    return text if len(text) <= _BRIEF else f"{text[:_BRIEF]}..."
