"""Streams of Anthropic's Messages API: named events, the usage in ``message_delta``, ``message_stop`` at the end."""

from dataclasses import dataclass

from auth.usage import Usage, whole_number
from gateway.answers.engine_errors import from_engine
from gateway.answers.form import named, parsed
from gateway.answers.relay import Stream
from gateway.http import errors
from gateway.http.dialects import ANTHROPIC

_DELTA = b"event: content_block_delta\n"
_RARE = (b"event: message_delta\n", b"event: message_stop\n", b"event: error\n")
_EVENT = b"event: "
_STOP, _ERROR, _USAGE = b"event: message_stop\n", b"event: error\n", b"event: message_delta\n"


def usage_of_message(usage: object) -> Usage | None:
    """Return the usage of a message; Anthropic counts what was cached apart from ``input_tokens``."""
    if not isinstance(usage, dict):
        return None
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    parts = [
        count for name in names if (count := whole_number(0 if usage.get(name) is None else usage[name])) is not None
    ]
    if len(parts) < len(names):
        return None
    return Usage.read(sum(parts), usage.get("output_tokens"), parts[1])


@dataclass
class MessageStream(Stream):
    """The events of one ``message``."""

    deltas: int = 0

    @property
    def tokens(self) -> int:
        """About how many completion tokens have been relayed, for streams that end before the engine's count."""
        return self.deltas

    def fail(self, error: errors.ApiError) -> bytes:
        """Return the events that end the stream with ``error``."""
        self.done, self.error = True, error
        return ANTHROPIC.event(error)

    def mended(self, whole: bytes) -> bytes:
        """Return whole events as the client should see them, and note what they tell."""
        if whole.count(_EVENT) != whole.count(b"\n\n"):
            whole = b"".join(map(named, whole.split(b"\n\n")[:-1]))
        self.events += whole.count(b"\n\n")
        self.deltas += whole.count(_DELTA)
        if any(event in whole for event in _RARE):
            return b"".join(self._mended_event(event) for event in whole.split(b"\n\n")[:-1])
        return whole

    def _mended_event(self, event: bytes) -> bytes:
        if self.done:
            return b""
        if event.startswith(_ERROR):
            return self.fail(from_engine(500, event.partition(b"data: ")[2]))
        if event.startswith(_STOP):
            self.done = True
        elif event.startswith(_USAGE):
            told = parsed(event.partition(b"data: ")[2])
            self.usage = usage_of_message(told.get("usage")) or self.usage
            self.finish_reason = (told.get("delta") or {}).get("stop_reason") or self.finish_reason
        return event + b"\n\n"
