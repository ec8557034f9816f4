"""One check: a sentence about a server, the line of the contract that it proves, and the few requests that prove it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from doctor.server import Server

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

Run = Callable[[Server], Awaitable[None]]


@dataclass(frozen=True)
class Check:
    """A sentence about a server.

    Attributes:
        name: the sentence, after its family: ``tools/a_named_function_is_called``.
        line: which line of :data:`doctor.lines.LINES` it proves.
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
