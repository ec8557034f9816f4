"""A chat's chunks become the events of a response."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from engines.responses.items import Json
from engines.responses.open_item import Event, OpenCall, OpenItem, OpenMessage, OpenReasoning
from engines.responses.response import INCOMPLETE, ended, failed

BROKEN = frozenset({"abort", "error"})
"""Reasons to finish that are no end of an answer, but of an engine."""


@dataclass
class ResponseEvents:
    """One stream. Each method returns whole events, numbered in the order in which they are asked for.

    Attributes:
        response: as it stands.
        done: whether the last event has been returned.
    """

    response: Json
    done: bool = False
    _sequence_number: int = 0
    _output: list[Json] = field(default_factory=list)
    _open: OpenItem | None = None
    _finish_reason: str | None = None
    _usage: Json | None = None

    def begin(self) -> bytes:
        """Return the events that open the stream."""
        return self._events([("created", {"response": self.response}), ("in_progress", {"response": self.response})])

    def tell(self, chunk: Json) -> bytes:
        """Return the events of a ``chat.completion.chunk``, or of the error that came in its place."""
        if "error" in chunk:
            return self.fail()
        self._usage = chunk.get("usage") or self._usage
        return b"".join(self._of_choice(choice) for choice in chunk.get("choices", ()))

    def end(self) -> bytes:
        """Return the events that close the stream; a chat that never finished has failed."""
        if self._finish_reason is None or self._finish_reason in BROKEN:
            return self.fail()
        events = b"" if self._open or self._output else self._opened(OpenMessage.at)
        events += self._closed("incomplete" if self._finish_reason in INCOMPLETE else "completed")
        return events + self._last(ended(self.response, self._output, self._finish_reason, self._usage))

    def fail(self) -> bytes:
        """Return the event of a model that broke down."""
        if self._open is not None:
            self._output.append(self._open.item("incomplete"))
        return self._last(failed(self.response, self._output))

    def _of_choice(self, choice: Json) -> bytes:
        delta = choice.get("delta") or {}
        events = b""
        if thought := delta.get("reasoning") or delta.get("reasoning_content"):
            events += self._said(OpenReasoning, thought)
        if text := delta.get("content"):
            events += self._said(OpenMessage, text, (choice.get("logprobs") or {}).get("content") or ())
        for call in delta.get("tool_calls") or ():
            events += self._called(call)
        self._finish_reason = choice.get("finish_reason") or self._finish_reason
        return events

    def _said(self, kind: type[OpenMessage | OpenReasoning], text: str, logprobs: Any = ()) -> bytes:
        """Go on with what is open, or with a new item if that is of another kind."""
        events = b""
        if not isinstance(self._open, kind):
            events = self._opened(kind.at)
        return events + self._grown(text, logprobs)

    def _called(self, call: Json) -> bytes:
        events = b""
        if not isinstance(self._open, OpenCall) or self._open.index != call["index"]:
            events = self._opened(lambda output_index: OpenCall.at(output_index, call))
        arguments = (call.get("function") or {}).get("arguments")
        return events + self._grown(arguments) if arguments else events

    def _opened(self, item_at: Callable[[int], OpenItem]) -> bytes:
        events = self._closed("completed")
        self._open = item_at(len(self._output))
        return events + self._events(self._open.opened())

    def _grown(self, text: str, logprobs: Any = ()) -> bytes:
        assert self._open is not None  # noqa: S101 - opened by whoever calls
        return self._events(self._open.grown(text, logprobs))

    def _closed(self, status: str) -> bytes:
        if self._open is None:
            return b""
        item, self._open = self._open, None
        self._output.append(item.item(status))
        return self._events(item.closed(status))

    def _last(self, response: Json) -> bytes:
        self.response, self.done = response, True
        return self._events([(response["status"], {"response": response})])

    def _events(self, events: Iterable[Event]) -> bytes:
        return b"".join(self._event(f"response.{name}", fields) for name, fields in events)

    def _event(self, kind: str, fields: Json) -> bytes:
        data = orjson.dumps({"type": kind, "sequence_number": self._sequence_number, **fields})
        self._sequence_number += 1
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), data)
