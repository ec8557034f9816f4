"""One check: a sentence about a server, the line of the contract that it proves, and the few requests that prove it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from gateway.contract.server import Server

Capability = Literal[
    "chat",
    "streaming",
    "tools",
    "auto_tools",
    "structured_outputs",
    "logprobs",
    "completions",
    "prompt_tokens",
    "prompt_echo",
    "completion_logprobs",
    "prompt_logprobs",
    "embeddings",
    "responses",
    "stored_responses",
    "files",
    "batches",
]
"""What a server may lack without breaking the contract: it says so, and the checks that need it do not apply."""

Run = Callable[["Server"], Awaitable[None]]


class Failed(Exception):
    """The server did something else; the message says what, in one line."""


class NotApplicable(Exception):
    """The sentence is about something that this server does not have; the message says what."""


@dataclass(frozen=True)
class Check:
    """A sentence about a server.

    Attributes:
        name: the sentence, after its family: ``tools/a_named_function_is_called``.
        line: which line of :data:`gateway.contract.lines.LINES` it proves.
        needs: what the server must be able to do for the sentence to apply.
        extra: whether it is more than the API asks of any server; who lacks it has not failed.
        last: whether it looks at what all other checks have seen, and so comes after them.
        run: asks the server; raises :class:`Failed` when the sentence does not hold.
    """

    name: str
    line: str
    needs: tuple[Capability, ...]
    extra: bool
    last: bool
    run: Run


def check(line: str, *needs: Capability, extra: bool = False, last: bool = False) -> Callable[[Run], Check]:
    """Make a coroutine function a :class:`Check` of the family that its module is named after."""

    def made(run: Run) -> Check:
        family = run.__module__.rpartition(".")[2]
        return Check(f"{family}/{run.__name__}", line, needs, extra, last, run)

    return made


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


_BRIEF = 160
