"""From a choice's text to what it says and what it calls, as the text arrives."""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from engines.transformers.text import could_begin
from engines.transformers.tools import OPEN

HEAD = re.compile(r'\s*\{"name": "([^"]+)", "arguments": ')
"""What the grammar of a call begins with."""


@dataclass(frozen=True)
class Call:
    """A call begins: its number in the answer, and its id and function."""

    index: int
    id: str
    name: str


@dataclass(frozen=True)
class Arguments:
    """More of a call's arguments; all of them together are JSON."""

    index: int
    text: str


Said = str | Call | Arguments


class CallReader:
    """Reads one choice that may call; the text follows the grammar of :class:`engines.transformers.tools.Calling`."""

    def __init__(self) -> None:
        self.calls = 0
        self._held = ""
        self._reading: str = "text"
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def push(self, text: str, *, last: bool) -> Iterator[Said]:
        """Yield what the text adds.

        Args:
            text: more of what the choice says.
            last: whether nothing comes after it.
        """
        self._held += text
        while True:
            match self._reading:
                case "text":
                    said, found, self._held = self._until_call(last=last)
                    if said:
                        yield said
                    if not found:
                        return
                    self._reading = "head"
                case "head":
                    if not (head := HEAD.match(self._held)):
                        return
                    self._held = self._held[head.end() :]
                    yield Call(self.calls, f"call_{uuid.uuid4().hex[:24]}", head[1])
                    self.calls += 1
                    self._reading = "arguments"
                case "arguments":
                    arguments, self._held = self._until_closed()
                    if arguments:
                        yield Arguments(self.calls - 1, arguments)
                    if self._depth or not arguments:
                        return
                    self._reading = "end"
                case _:
                    _, found, self._held = self._until_call(last=last)
                    if not found:
                        return
                    self._reading = "head"

    def _until_call(self, *, last: bool) -> tuple[str, bool, str]:
        """Return the text before the next call, whether there is one, and what comes after its opening."""
        before, found, after = self._held.partition(OPEN)
        if found:
            return before, True, after
        cut = len(before) if last else len(before) - could_begin(before, [OPEN])
        return before[:cut], False, before[cut:]

    def _until_closed(self) -> tuple[str, str]:
        """Return what belongs to the arguments, an object, and what comes after its end."""
        for place, character in enumerate(self._held):
            if self._in_string:
                self._in_string = self._escaped or character != '"'
                self._escaped = character == "\\" and not self._escaped
            elif character == '"':
                self._in_string = True
            elif character in "{[":
                self._depth += 1
            elif character in "]}":
                self._depth -= 1
                if not self._depth:
                    return self._held[: place + 1], self._held[place + 1 :]
        return self._held, ""
