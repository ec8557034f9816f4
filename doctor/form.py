"""The form of a stream of completions, which ``engines/base.py`` states, as rules that bytes are held against.

It is narrower than the API and than server-sent events: whoever relays such a stream may look for patterns of bytes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_BLANK = re.compile(rb"\s")
_HEAD = ("id", "object", "created", "model")
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
_ERROR: dict[str, Any] = {"message": str, "type": str, "param": str | None, "code": str | None}


def mistakes(body: bytes, *, is_chat: bool = True, has_usage: bool = False, comments: bool = False) -> list[str]:
    """Return where a stream that has come to its end is outside the form, in its order; none where it is not.

    Args:
        body: all of it.
        is_chat: of ``chat.completion.chunk``, or of ``text_completion``.
        has_usage: whether ``stream_options.include_usage`` was true.
        comments: whether comments may stand between events, as they may on the way to a client.
    """
    reader = _Reader(is_chat, has_usage)
    *blocks, rest = body.split(b"\n\n")
    if comments:
        blocks = [block for block in blocks if not block.startswith(b":")]
    found = [f"event {place}: {what}" for place, block in enumerate(blocks) for what in reader.event(block)]
    if rest:
        found.append("the last event does not end")
    return [*found, *reader.end()]


@dataclass
class _Reader:
    """What is known of a stream so far."""

    is_chat: bool
    has_usage: bool
    heads: set[tuple[Any, ...]] = field(default_factory=set)
    opened: set[int] = field(default_factory=set)
    finished: set[int] = field(default_factory=set)
    calls: dict[int, set[int]] = field(default_factory=dict)
    usages: int = 0
    has_failed: bool = False
    is_done: bool = False

    def event(self, block: bytes) -> Iterator[str]:
        """Yield what is wrong with the next event."""
        if self.is_done:
            yield "it comes behind [DONE]"
        if block == b"data: [DONE]":
            self.is_done = True
            return
        if self.has_failed:
            yield "it comes behind an error"
        if not block.startswith(b"data: {") or b"\n" in block or b"\r" in block:
            yield "it is not one line of data: and an object, with one space between them"
            return
        data = block.removeprefix(b"data: ")
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            yield "its data is no JSON"
            return
        if _BLANK.search(_STRING.sub(b"", data)):
            yield "there are blanks between JSON's tokens"
        yield from self._error(chunk) if "error" in chunk else self._chunk(chunk, data)

    def end(self) -> Iterator[str]:
        """Yield what is wrong with how the stream has ended."""
        if not self.is_done:
            yield "[DONE] is not the last event"
        if self.has_failed:
            return
        if not self.opened:
            yield "no choice says anything"
        if open_still := self.opened - self.finished:
            yield f"choices have no end: {sorted(open_still)}"
        if self.usages != self.has_usage:
            yield f"there are {self.usages} usages, not {int(self.has_usage)}"

    def _error(self, chunk: dict[str, Any]) -> Iterator[str]:
        self.has_failed = True
        error = chunk["error"]
        if list(chunk) != ["error"] or not isinstance(error, dict):
            yield "an error is not an object alone"
        elif error.keys() != _ERROR.keys() or not all(isinstance(error[name], kind) for name, kind in _ERROR.items()):
            yield "an error has not message, type, param and code"

    def _chunk(self, chunk: dict[str, Any], data: bytes) -> Iterator[str]:
        if not data.startswith(b'{"id":"'):
            yield "id is not the first key, or no text"
        kinds = {"object": str, "created": int, "model": str}
        yield from (f"{name} is no {kind.__name__}" for name, kind in kinds.items() if not _is(chunk.get(name), kind))
        if chunk.get("object") != ("chat.completion.chunk" if self.is_chat else "text_completion"):
            yield "object is another"
        self.heads.add(tuple(str(chunk.get(name)) for name in _HEAD))
        if len(self.heads) > 1:
            yield f"{', '.join(_HEAD)} are not those of the first chunk"
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
            yield "choices is no list of objects"
            return
        if self.usages:
            yield "it comes behind the usage"
        yield from self._usage(chunk.get("usage"), is_last=not choices)
        for choice in choices:
            yield from self._choice(choice)

    def _usage(self, usage: Any, *, is_last: bool) -> Iterator[str]:
        if not is_last:
            if usage is not None:
                yield "there is a usage beside choices"
            return
        self.usages += 1
        counts: list[Any] = [usage.get(name) for name in _COUNTS] if isinstance(usage, dict) else []
        if not counts or not all(_is(count, int) and count >= 0 for count in counts):
            yield "choices are empty, and there is no usage of counts"
        elif counts[0] + counts[1] != counts[2]:
            yield "total_tokens is not the sum"

    def _choice(self, choice: dict[str, Any]) -> Iterator[str]:
        index = choice.get("index")
        if not isinstance(index, int) or isinstance(index, bool) or index < 0:
            yield "a choice has no index"
            return
        if index in self.finished:
            yield f"choice {index} goes on after its end"
        reason = choice.get("finish_reason", "")
        if reason is not None and reason not in REASONS:
            yield f"finish_reason is neither null nor one of {', '.join(sorted(REASONS))}"
        if reason:
            self.finished.add(index)
        is_first = index not in self.opened
        self.opened.add(index)
        if not self.is_chat:
            if not isinstance(choice.get("text"), str):
                yield "text is no text"
        elif not isinstance(delta := choice.get("delta"), dict):
            yield "delta is no object"
        else:
            yield from self._delta(index, delta, is_first=is_first)

    def _delta(self, index: int, delta: dict[str, Any], *, is_first: bool) -> Iterator[str]:
        if (delta.get("role") == "assistant") != is_first:
            yield "the role is not told in a choice's first delta alone"
        if not isinstance(delta.get("content"), str | None):
            yield "content is neither text nor null"
        for call in delta.get("tool_calls") or ():
            yield from self._call(self.calls.setdefault(index, set()), call)

    def _call(self, known: set[int], call: dict[str, Any]) -> Iterator[str]:
        place, function = call.get("index"), call.get("function") or {}
        if not isinstance(place, int) or isinstance(place, bool):
            yield "a tool call has no index"
            return
        is_first = place not in known
        if is_first and place != len(known):
            yield "the indices of tool calls do not follow each other"
        known.add(place)
        if bool(call.get("id")) != is_first or bool(function.get("name")) != is_first:
            yield "id and name of a tool call are not told in its first part alone"
        if not isinstance(function.get("arguments", ""), str):
            yield "arguments are no text"


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
