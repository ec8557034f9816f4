"""Another server's chunks in our own form, which ``engines.base`` states: what the gateway's fast path relies on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import orjson

from engines.upstream.failures import UpstreamFailed
from engines.upstream.fields import Json, arguments, call_id, counted, head, objects, parsed, place, reason, text
from engines.upstream.sse import Event

DONE = b"data: [DONE]\n\n"


@dataclass
class Chunks:
    """One stream of ``chat.completion.chunk`` or ``text_completion`` on its way.

    Attributes:
        model: what the answer's ``model`` is to be: our name of it.
        is_chat: whether choices have a ``delta``, or a ``text``.
        choices: how many choices are asked for.
        is_over: whether nothing more is to come, whatever the server sends: ``[DONE]``, or all ends and the usage.
        has_finished: whether every choice has told its end.
    """

    model: str
    is_chat: bool
    choices: int = 1
    is_over: bool = False
    _head: Json | None = None
    _usage: Json | None = None
    _opened: set[int] = field(default_factory=set)
    _finished: set[int] = field(default_factory=set)
    _calls: dict[int, list[str]] = field(default_factory=dict)

    @property
    def has_finished(self) -> bool:
        """Whether every choice has told why it ended."""
        return len(self._finished) >= self.choices

    def feed(self, events: Iterable[Event]) -> bytes:
        """Return what the events come to, as whole events of ours.

        Raises:
            UpstreamFailed: an event is an error, or no chunk.
        """
        return b"".join(_framed(chunk) for event in events for chunk in self._chunks(event))

    def end(self) -> bytes:
        """Return the end of the stream: the usage, if the server told any, and ``[DONE]``.

        Raises:
            UpstreamFailed: the server has stopped in the middle.
        """
        if not self.has_finished and not (self.is_over and self._opened):
            raise UpstreamFailed("it ended in the middle of an answer")
        late = [self._chunk([self._choice(index, "stop")]) for index in sorted(self._opened - self._finished)]
        usage = [{**self._chunk([]), "usage": self._usage}] if self._usage else []
        return b"".join(map(_framed, [*late, *usage])) + DONE

    def _chunks(self, event: Event) -> Iterator[Json]:
        if self.is_over:
            return
        if event.data.strip() == "[DONE]":
            self.is_over = True
            return
        chunk = parsed(event.data)
        if event.name == "error" or chunk.get("error"):
            raise UpstreamFailed("it sent an error event")
        usage, choices = counted(chunk.get("usage")), objects(chunk.get("choices"))
        self._usage = usage or self._usage
        if choices and self._head is None:  # what comes before has no name of its own: all chunks must have the same
            kind = "chat.completion.chunk" if self.is_chat else "text_completion"
            self._head = head(chunk, self.model, is_chat=self.is_chat, kind=kind)
        for choice in choices:
            yield from self._of_choice(choice)
        # A usage beside choices may be followed by another, which counts.
        self.is_over = self.has_finished and usage is not None and not choices

    def _of_choice(self, choice: Json) -> Iterator[Json]:
        index = place(choice.get("index"), 0)
        if index in self._finished or index >= self.choices:
            return
        ended = reason(choice.get("finish_reason"))
        if index not in self._opened:
            self._opened.add(index)
            if self.is_chat:
                yield self._chunk([self._choice(index, None, {"role": "assistant", "content": ""})])
        said = self._delta(index, choice) if self.is_chat else {"text": text(choice.get("text"))}
        if any(said.values()):
            logprobs = choice.get("logprobs")
            yield self._chunk([{**self._choice(index, None, said), "logprobs": logprobs}])
        if ended:
            self._finished.add(index)
            yield self._chunk([self._choice(index, ended)])

    def _delta(self, index: int, choice: Json) -> Json:
        """Return what a chunk adds to its choice; the role and each call's name are told once."""
        given = choice.get("delta")
        delta = {name: value for name, value in given.items() if value is not None} if isinstance(given, dict) else {}
        delta.pop("role", None)
        if "content" in delta:
            delta["content"] = text(delta["content"])
        calls = [self._call(index, call) for call in objects(delta.pop("tool_calls", None))]
        return {**delta, "tool_calls": calls} if calls else delta

    def _call(self, index: int, call: Json) -> Json:
        """Return a part of a tool call: always with an index, with id and name at its first part alone."""
        known = self._calls.setdefault(index, [])  # the ids of the choice's calls, in their order
        given = call.get("function")
        function: Json = given if isinstance(given, dict) else {}
        said, own = arguments(function.get("arguments")), text(call.get("id"))
        if own in known:
            at = known.index(own)
        elif own or not known:
            at = len(known)  # whatever index it came with: some servers number all their calls 0
        else:
            at = min(place(call.get("index"), len(known) - 1), len(known))
        if at < len(known):
            return {"index": at, "function": {"arguments": said}}
        known.append(call_id(own))
        told = {"name": text(function.get("name")), "arguments": said}
        return {"index": at, "id": known[at], "type": "function", "function": told}

    def _choice(self, index: int, ended: str | None, said: Json | None = None) -> Json:
        part = {"delta": said or {}} if self.is_chat else {"text": "", **(said or {})}
        return {"index": index, **part, "logprobs": None, "finish_reason": ended}

    def _chunk(self, choices: list[Json]) -> Json:
        return {**(self._head or {}), "choices": choices}


def _framed(chunk: Json) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"
