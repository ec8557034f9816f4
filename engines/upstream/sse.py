"""Server-sent events, read as WHATWG's HTML standard tells (9.2.6, "Interpreting an event stream"), cut anywhere."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field

LIMIT = 16 * 2**20
"""Characters of one event; a server that never ends it would fill our memory."""


class EventTooLong(ValueError):
    """An event has more than ``LIMIT`` characters."""


@dataclass(frozen=True)
class Event:
    """One event: its data, and its name, which is empty for most."""

    data: str
    name: str = ""


@dataclass
class EventReader:
    """Turns bytes into events. ``id`` and ``retry`` are for clients that reconnect, and passed over."""

    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8-sig")("replace")
    )
    _pieces: list[str] = field(default_factory=list)
    _after_cr: bool = False
    _data: list[str] = field(default_factory=list)
    _name: str = ""
    _size: int = 0

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events that ``chunk`` completes.

        Raises:
            EventTooLong: the event at hand has no end.
        """
        yield from self._lines(self._decoder.decode(chunk))

    def end(self) -> Iterator[Event]:
        """Yield what the end of the body leaves open: a server may close right behind its last line.

        The standard drops such an event; half a JSON text is refused by whoever parses it.
        """
        yield from self._lines(self._decoder.decode(b"", final=True) + "\n\n")

    def _lines(self, text: str) -> Iterator[Event]:
        if self._after_cr and text:
            # The second half of a CR LF that was cut.
            text, self._after_cr = text.removeprefix("\n"), False
        if not text:
            return
        self._after_cr = text[-1] == "\r"
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        first, *rest = text.split("\n")
        self._keep(first)
        for start in rest:
            line = "".join(self._pieces)
            self._pieces.clear()
            yield from self._line(line)
            self._keep(start)

    def _keep(self, piece: str) -> None:
        if piece:
            self._size += len(piece)
            if self._size > LIMIT:
                raise EventTooLong
            self._pieces.append(piece)

    def _line(self, line: str) -> Iterator[Event]:
        if not line:
            if self._data:
                yield Event("\n".join(self._data), self._name)
            self._data, self._name, self._size = [], "", 0
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._name = value
        elif not self._data:
            # A comment, an id or a retry: servers may send these for ever.
            self._size = 0
