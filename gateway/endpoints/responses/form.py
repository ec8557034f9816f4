"""How a response looks on its way: whole, and as a stream of named events (WIRE.md C8)."""

import re
from dataclasses import dataclass
from typing import Any

import orjson

from auth.usage import Usage
from gateway.answers.form import named, parsed
from gateway.answers.relay import Stream, cached_in
from gateway.endpoints.call import Call, Whole, said_by
from gateway.endpoints.responses.turn import Turn
from gateway.http import errors
from gateway.http.dialects import OpenAI

_DELTA = re.compile(rb"event: response\.(?:output_text|reasoning_text|function_call_arguments)\.delta\n")
_RARE = re.compile(rb"event: (?:response\.(?:created|queued|in_progress|completed|incomplete|failed)|error)\n")
_ERROR, _FAILED = b"event: error\n", b"event: response.failed\n"


def usage_of_response(response: dict[str, Any]) -> Usage | None:
    """Return the usage of a response; ``None`` while it has none."""
    usage = response.get("usage")
    if not isinstance(usage, dict):
        return None
    return Usage.read(usage.get("input_tokens"), usage.get("output_tokens"), cached_in(usage, "input_tokens_details"))


@dataclass(frozen=True)
class ResponseForm:
    """A ``response``, which becomes the turn's."""

    turn: Turn
    salted = True

    def whole(self, answer: dict[str, Any]) -> Whole:
        """Read an answer that came whole."""
        body = self.turn.told(answer)
        if body["status"] == "failed":
            self.turn.failed(errors.engine_lost())
        said = (text for item in body["output"] for text in said_by(item))
        return Whole(self.turn.body, usage_of_response(body), _finish_reason(body), said)

    def stream(self, call: Call) -> "ResponseStream":
        """Return the reader of a streamed answer."""
        del call
        return ResponseStream(self.turn)


@dataclass
class ResponseStream(Stream):
    """The events of one response. Only those that hold the whole response are parsed; deltas pass as they are."""

    turn: Turn
    deltas: int = 0

    @property
    def tokens(self) -> int:
        """About how many completion tokens have been relayed, for streams that end before the engine's count."""
        return self.deltas

    def fail(self, error: errors.ApiError) -> bytes:
        """Return the event that ends the stream with ``error``."""
        self.done, self.error = True, error
        return _event("response.failed", self.turn.events, response=self.turn.failed(error))

    def mended(self, whole: bytes) -> bytes:
        """Return whole events as the client should see them, and note what they tell."""
        if whole.count(b"event: ") != whole.count(b"\n\n"):
            whole = b"".join(map(named, whole.split(b"\n\n")[:-1]))
        self.deltas += len(_DELTA.findall(whole))
        if _RARE.search(whole):
            whole = b"".join(self._mended_event(event) for event in whole.split(b"\n\n")[:-1])
        else:
            self.turn.events += whole.count(b"\n\n")
        self.events = self.turn.events
        return whole

    def _mended_event(self, event: bytes) -> bytes:
        if self.done:
            return b""
        if event.startswith((_ERROR, _FAILED)):
            return self.fail(errors.engine_lost())
        self.turn.events += 1
        if not _RARE.match(event):
            return event + b"\n\n"
        told = parsed(event.partition(b"data: ")[2])
        held = told.get("response")
        response = self.turn.told(held if isinstance(held, dict) else {})
        if self.turn.has_ended:
            self.done = True
            self.usage, self.finish_reason = usage_of_response(response), _finish_reason(response)
        return _event(told["type"], told.get("sequence_number", self.turn.events - 1), response=response)


class StreamErrors(OpenAI):
    """Errors in a stream of events are flat, and numbered as the events are (WIRE.md C2)."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    def event(self, error: errors.ApiError) -> bytes:
        """Return the error event, which ends the stream."""
        fields = {"code": error.code, "message": error.message, "param": error.param}
        return _event("error", self._turn.events, **fields)


def _finish_reason(response: dict[str, Any]) -> str:
    """Return why a response has ended: the reason that it is incomplete, or its status."""
    return str((response.get("incomplete_details") or {}).get("reason") or response["status"])


def _event(kind: str, sequence_number: int, **fields: Any) -> bytes:
    data = orjson.dumps({"type": kind, "sequence_number": sequence_number, **fields})
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), data)
