"""The item of a response's output that is being generated, and the events that tell of it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from engines.responses.items import Json
from engines.responses.response import call_item, message_item, new_id, reasoning_item, reasoning_part, text_part

Event = tuple[str, Json]
"""The type, after ``response.``, and the fields."""


@dataclass
class OpenItem(ABC):
    """An item on its way.

    Attributes:
        output_index: its place in the output.
        id: its own.
    """

    output_index: int
    id: str
    _pieces: list[str] = field(default_factory=list, kw_only=True)

    @abstractmethod
    def item(self, status: str) -> Json:
        """Return the item with what there is of it."""

    @abstractmethod
    def opened(self) -> Iterator[Event]:
        """Yield the events that open it."""

    @abstractmethod
    def grown(self, text: str, logprobs: Sequence[Any]) -> Iterator[Event]:
        """Yield the events of a further piece."""

    @abstractmethod
    def closed(self, status: str) -> Iterator[Event]:
        """Yield the events that close it."""

    @property
    def _place(self) -> Json:
        return {"output_index": self.output_index, "item_id": self.id}

    def _item_event(self, what: str, item: Json) -> Event:
        return f"output_item.{what}", {"output_index": self.output_index, "item": item}


@dataclass
class OpenText(OpenItem):
    """An item with one part of content.

    Attributes:
        kind: of the part, as the names of its events have it.
    """

    kind: ClassVar[str]

    @abstractmethod
    def part(self, text: str) -> Json:
        """Return the part with ``text``."""

    @abstractmethod
    def of_item(self, content: Sequence[Json], status: str) -> Json:
        """Return the item with ``content``."""

    def item(self, status: str) -> Json:
        """Return the item with what there is of it."""
        return self.of_item([self.part("".join(self._pieces))], status)

    def opened(self) -> Iterator[Event]:
        """Yield the item without content, and the part without text."""
        yield self._item_event("added", self.of_item([], "in_progress"))
        yield "content_part.added", {**self._place, "content_index": 0, "part": self.part("")}

    def grown(self, text: str, logprobs: Sequence[Any]) -> Iterator[Event]:
        """Yield a delta."""
        self._pieces.append(text)
        yield f"{self.kind}.delta", {**self._place, "content_index": 0, "delta": text, **self._told(logprobs)}

    def closed(self, status: str) -> Iterator[Event]:
        """Yield the whole text, the part and the item."""
        text = "".join(self._pieces)
        place = {**self._place, "content_index": 0}
        yield f"{self.kind}.done", {**place, "text": text, **self._told(())}
        yield "content_part.done", {**place, "part": self.part(text)}
        yield self._item_event("done", self.item(status))

    def _told(self, logprobs: Sequence[Any]) -> Json:
        """Return the fields that only some kinds of deltas have."""
        del logprobs
        return {}


@dataclass
class OpenMessage(OpenText):
    """What the model says."""

    kind = "output_text"
    _logprobs: list[Any] = field(default_factory=list, kw_only=True)

    def part(self, text: str) -> Json:
        """Return the part with ``text``."""
        return text_part(text, self._logprobs if text else ())

    def of_item(self, content: Sequence[Json], status: str) -> Json:
        """Return the message."""
        return message_item(self.id, content, status)

    def _told(self, logprobs: Sequence[Any]) -> Json:
        self._logprobs += logprobs
        return {"logprobs": list(logprobs)}

    @classmethod
    def at(cls, output_index: int) -> "OpenMessage":
        """Return a new one."""
        return cls(output_index, new_id("msg"))


@dataclass
class OpenReasoning(OpenText):
    """What the model thinks before it speaks."""

    kind = "reasoning_text"

    def part(self, text: str) -> Json:
        """Return the part with ``text``."""
        return reasoning_part(text)

    def of_item(self, content: Sequence[Json], status: str) -> Json:
        """Return the reasoning."""
        return reasoning_item(self.id, content, status)

    @classmethod
    def at(cls, output_index: int) -> "OpenReasoning":
        """Return a new one."""
        return cls(output_index, new_id("rs"))


@dataclass
class OpenCall(OpenItem):
    """A call of a function.

    Attributes:
        index: its number among the answer's calls.
        call_id, name: as the model gave them.
    """

    index: int
    call_id: str
    name: str

    def item(self, status: str) -> Json:
        """Return the call with what there is of its arguments."""
        return call_item(self.id, self.call_id, self.name, "".join(self._pieces), status)

    def opened(self) -> Iterator[Event]:
        """Yield the call without arguments."""
        yield self._item_event("added", self.item("in_progress"))

    def grown(self, text: str, logprobs: Sequence[Any]) -> Iterator[Event]:
        """Yield a piece of the arguments."""
        del logprobs
        self._pieces.append(text)
        yield "function_call_arguments.delta", {**self._place, "delta": text}

    def closed(self, status: str) -> Iterator[Event]:
        """Yield the arguments and the call."""
        arguments = "".join(self._pieces)
        yield "function_call_arguments.done", {**self._place, "name": self.name, "arguments": arguments}
        yield self._item_event("done", self.item(status))

    @classmethod
    def at(cls, output_index: int, call: Json) -> "OpenCall":
        """Return a new one from the first delta of a call."""
        return cls(output_index, new_id("fc"), call["index"], call["id"], call["function"]["name"])
