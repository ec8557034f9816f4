"""What came back, as it came: bytes, and the events that they are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from doctor.verdict import Failed, expect


@dataclass(frozen=True)
class Reply:
    """An HTTP response, read to its end.

    Attributes:
        headers: by their names in lower case.
        parts: the body, cut where the server's HTTP chunks were.
    """

    status: int
    headers: Mapping[str, str]
    parts: tuple[bytes, ...]

    @property
    def body(self) -> bytes:
        """The body, whole."""
        return b"".join(self.parts)

    def json(self) -> Any:
        """Return the parsed body; raises :class:`Failed` when it is no JSON object."""
        try:
            parsed = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            parsed = None
        if not isinstance(parsed, dict):
            raise Failed(f"the body of status {self.status} is no JSON object")
        return parsed

    def error(self) -> dict[str, Any]:
        """Return the error that the body is; raises :class:`Failed` when it is of another shape."""
        error = self.json().get("error")
        expect(isinstance(error, dict), f"status {self.status} has no error object")
        missing = {"message", "type", "param", "code"} - error.keys()
        expect(not missing, f"the error lacks {', '.join(sorted(missing))}")
        for name in ("message", "type"):
            expect(isinstance(error[name], str), f"error.{name} is {type(error[name]).__name__}, not a string")
        for name in ("param", "code"):
            kind = type(error[name]).__name__
            expect(error[name] is None or isinstance(error[name], str), f"error.{name} is {kind}, not a string or null")
        return dict(error)


@dataclass(frozen=True)
class Event:
    """A server-sent event: its type (empty without an ``event`` field) and its data."""

    type: str
    data: str


@dataclass(frozen=True)
class Stream:
    """A stream, read to its end.

    Attributes:
        chunks: the JSON of its events, without the end mark.
        types: their types.
        done: whether the last event was ``[DONE]``.
    """

    reply: Reply
    chunks: tuple[dict[str, Any], ...]
    types: tuple[str, ...]
    done: bool

    @classmethod
    def of(cls, reply: Reply) -> "Stream":
        """Read a reply as a stream; raises :class:`Failed` when it is none."""
        events = list(_events(reply.body))
        done = bool(events) and events[-1].data == "[DONE]"
        told = events[:-1] if done else events
        return cls(reply, tuple(map(_json, told)), tuple(event.type for event in told), done)

    def choices(self, index: int = 0) -> list[dict[str, Any]]:
        """Return what the chunks say of one choice, in order."""
        return [choice for chunk in self.chunks for choice in chunk.get("choices", ()) if choice.get("index") == index]

    def deltas(self, index: int = 0) -> list[dict[str, Any]]:
        """Return the deltas of one choice of a chat."""
        return [choice.get("delta") or {} for choice in self.choices(index)]

    def text(self, index: int = 0) -> str:
        """Return all that one choice says, in a chat or a completion."""
        return "".join(
            (choice["delta"].get("content") if "delta" in choice else choice.get("text")) or ""
            for choice in self.choices(index)
        )

    def finish_reasons(self, index: int = 0) -> list[str]:
        """Return the reasons that one choice gives for its end."""
        return [choice["finish_reason"] for choice in self.choices(index) if choice.get("finish_reason")]

    def usages(self) -> list[dict[str, Any]]:
        """Return every usage that a chunk has."""
        return [chunk["usage"] for chunk in self.chunks if chunk.get("usage")]


def _events(body: bytes) -> Iterator[Event]:
    """Yield the events of a body (WHATWG HTML, 9.2.6), stricter: each must end, and be in UTF-8."""
    try:
        text = body.decode().replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise Failed("the stream is not valid UTF-8") from None
    expect(text.endswith("\n\n"), "the stream ends in the middle of an event")
    for block in text.split("\n\n")[:-1]:
        fields = [line.partition(":") for line in block.split("\n") if line and not line.startswith(":")]
        data = [value.removeprefix(" ") for name, _, value in fields if name == "data"]
        types = [value.removeprefix(" ") for name, _, value in fields if name == "event"]
        if fields:
            yield Event("".join(types[-1:]), "\n".join(data))


def _json(event: Event) -> dict[str, Any]:
    expect(event.data, "an event has no data")
    expect(event.data != "[DONE]", "events follow [DONE]")
    try:
        parsed = orjson.loads(event.data)
    except orjson.JSONDecodeError:
        parsed = None
    if not isinstance(parsed, dict):
        raise Failed("an event's data is no JSON object")
    return parsed
