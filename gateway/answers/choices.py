"""Streams of completions, of chat and of text: chunks with ``choices``, the usage in a last one without, ``[DONE]``."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.answers import mend
from gateway.answers.engine_errors import from_engine
from gateway.answers.relay import Stream, usage_of
from gateway.http import errors

DONE = b"data: [DONE]\n\n"

_USAGE_CHUNK = b'"choices":[]'
_FINISHED = b'"finish_reason":"'
_ERROR_EVENT = b'data: {"error"'
_EMPTY_DELTA = b'"delta":{},'
_FOREIGN_CALL = b'"id":"%b' % mend.FOREIGN_CALL.encode()
_FOREIGN_NULL = b'_ids":null'
_FOREIGN_NULLS = re.compile(rb',"(?:prompt_token_ids|token_ids|prompt_text)":null')
_STOP_REASON = re.compile(rb',"stop_reason":(?:null|-?\d+|"(?:[^"\\]|\\.)*")')
_LOGPROBS = b'"logprobs":{"content":'
_REFUSAL = b'"refusal":'
_FAILURES = (b'"finish_reason":"abort"', b'"finish_reason":"error"')


@dataclass
class ChoicesStream(Stream):
    """Chunks of ``text_completion``.

    Attributes:
        include_usage: whether the client asked for the usage chunk.
        openings: events that open a choice and hold no token.
    """

    include_usage: bool = False
    openings: int = 0

    @property
    def tokens(self) -> int:
        """About how many completion tokens have been relayed, for streams that end before the engine's count."""
        return max(0, self.events - self.openings)

    def fail(self, error: errors.ApiError) -> bytes:
        """Return the events that end the stream with ``error``."""
        self.done, self.error = True, error
        return error.event()

    def mended(self, whole: bytes) -> bytes:
        """Return whole events as the client should see them, and note what they tell."""
        self.events += whole.count(b"\n\n")
        if _FOREIGN_NULL in whole:
            whole = _FOREIGN_NULLS.sub(b"", whole)
        if _LOGPROBS in whole and _REFUSAL not in whole:
            whole = whole.replace(_LOGPROBS, b'"logprobs":{"refusal":null,"content":')
        if _FINISHED in whole or _USAGE_CHUNK in whole or _ERROR_EVENT in whole or _FOREIGN_CALL in whole:
            whole = b"".join(map(self._mended_event, whole.split(b"\n\n")[:-1]))
        elif whole.endswith(DONE):
            self.done = True
        return whole

    def _mended_event(self, event: bytes) -> bytes:
        """Return one event as the client should see it; empty when it should see none."""
        if self.done:
            return b""
        if _FOREIGN_CALL in event:
            event = as_event(mend.calling(orjson.loads(event.removeprefix(b"data: "))))[:-2]
        if event == DONE[:-2]:
            self.done = True
        elif event.startswith(_ERROR_EVENT):
            return self.fail(from_engine(500, event.removeprefix(b"data: ")))
        elif _USAGE_CHUNK in event:
            return self._counted(orjson.loads(event.removeprefix(b"data: ")))
        elif _FINISHED in event:
            if any(failure in event for failure in _FAILURES):
                return self.fail(errors.engine_lost())
            event = _STOP_REASON.sub(b"", event.replace(b'"finish_reason":"repetition"', b'"finish_reason":"stop"'))
            self.finish_reason = event.split(_FINISHED, 1)[1].split(b'"', 1)[0].decode()
            return b"".join(self._ending(event))
        return event + b"\n\n"

    def _counted(self, chunk: dict[str, Any]) -> bytes:
        """Take a chunk without choices: it has the usage, or says nothing."""
        self.events -= 1
        if (counted := usage_of(chunk)) is None:
            return b""
        self.usage = counted
        return as_event({**chunk, "usage": mend.usage(chunk["usage"])}) if self.include_usage else b""

    def _ending(self, event: bytes) -> Iterator[bytes]:
        """Yield the event that ends a choice as OpenAI sends it."""
        yield event + b"\n\n"


class ChatStream(ChoicesStream):
    """Chunks of ``chat.completion.chunk``: each choice ends with an empty delta that has the reason."""

    def _ending(self, event: bytes) -> Iterator[bytes]:
        if _EMPTY_DELTA in event:
            yield event + b"\n\n"
        else:
            yield from map(as_event, mend.ending(orjson.loads(event.removeprefix(b"data: "))))


def as_event(chunk: dict[str, Any]) -> bytes:
    """Return one server-sent event."""
    return b"data: " + orjson.dumps(chunk) + b"\n\n"
