"""Streams of completions, of chat and of text: chunks with ``choices``, the usage in a last one without, ``[DONE]``."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from gateway.answers import form, mend
from gateway.answers.engine_errors import from_engine
from gateway.answers.form import DONE, as_event, parsed
from gateway.answers.relay import Stream, usage_of
from gateway.http import errors

_CHUNK = b'data: {"id":"'
_ERROR = b'"error":'
_USAGE = b'"usage":{'
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

    said: ClassVar[str] = "text"
    """The field in which a choice says something."""

    include_usage: bool = False
    openings: int = 0
    _last: bytes = b""
    """The usage chunk, which is the client's last whenever it came."""

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
        count, ends = whole.count(b"\n\n"), whole.endswith(DONE)
        is_rare = whole.count(_CHUNK) + ends != count or _ERROR in whole or _USAGE in whole
        if is_rare:
            whole = b"".join(map(self._in_form, whole.split(b"\n\n")[:-1]))
            count = whole.count(b"\n\n")
        self.events += count
        if _FOREIGN_NULL in whole:
            whole = _FOREIGN_NULLS.sub(b"", whole)
        if _LOGPROBS in whole and _REFUSAL not in whole:
            whole = whole.replace(_LOGPROBS, b'"logprobs":{"refusal":null,"content":')
        if is_rare or _FINISHED in whole or _USAGE_CHUNK in whole or _FOREIGN_CALL in whole or self._last:
            whole = b"".join(map(self._mended_event, whole.split(b"\n\n")[:-1]))
        elif ends:
            self.done = True
        return whole

    def _in_form(self, event: bytes) -> bytes:
        """Return an event as it is where that is the form's way, and put into the form where it is not."""
        is_chunk = event.startswith(_CHUNK) and (_USAGE not in event or _USAGE_CHUNK in event)
        return event + b"\n\n" if is_chunk and _ERROR not in event else form.chunks(event, self.said)

    def _mended_event(self, event: bytes) -> bytes:
        """Return one event as the client should see it; empty when it should see none."""
        if self.done:
            return b""
        if _FOREIGN_CALL in event:
            event = as_event(mend.calling(_chunk(event)))[:-2]
        if event == DONE[:-2]:
            self.done = True
            return self._last + DONE
        if event.startswith(_ERROR_EVENT):
            return self.fail(from_engine(500, event.removeprefix(b"data: ")))
        if any(failure in event for failure in _FAILURES):
            return self.fail(errors.engine_lost())
        if _USAGE_CHUNK in event:
            event = self._counted(_chunk(event))
        elif _FINISHED in event:
            event = _STOP_REASON.sub(b"", event.replace(b'"finish_reason":"repetition"', b'"finish_reason":"stop"'))
            self.finish_reason = event.split(_FINISHED, 1)[1].split(b'"', 1)[0].decode()
            return b"".join(self._ending(event))
        return event + b"\n\n" if event else b""

    def _counted(self, chunk: dict[str, Any]) -> bytes:
        """Take a chunk without choices, which has the usage, or says nothing; it is told at the end."""
        self.events -= 1
        if (counted := usage_of(chunk)) is not None:
            self.usage = counted
            if self.include_usage:
                self._last = as_event({**chunk, "usage": mend.usage(chunk["usage"])})
        return b""

    def _ending(self, event: bytes) -> Iterator[bytes]:
        """Yield the event that ends a choice as OpenAI sends it."""
        yield event + b"\n\n"


class ChatStream(ChoicesStream):
    """Chunks of ``chat.completion.chunk``: each choice ends with an empty delta that has the reason."""

    said = "delta"

    def _ending(self, event: bytes) -> Iterator[bytes]:
        if _EMPTY_DELTA in event:
            yield event + b"\n\n"
        else:
            yield from map(as_event, mend.ending(_chunk(event)))


def _chunk(event: bytes) -> dict[str, Any]:
    return parsed(event.partition(b"data: ")[2])
