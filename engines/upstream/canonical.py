"""Another server's chunks in our own form, which ``engines.base`` states: what the gateway's fast path relies on."""

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from engines.upstream.failures import UpstreamFailed
from engines.upstream.sse import Event

Json = dict[str, Any]

DONE = b"data: [DONE]\n\n"
_FAILURES = frozenset({"error", "abort"})
_LARGEST = 2**53
_FINGERPRINT = "fp_upstream"
"""Of a server that tells none: the API's document wants a text."""
_DETAILS = ("prompt_tokens_details", "completion_tokens_details")


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
        self._begin(chunk)
        for choice in choices:
            yield from self._of_choice(choice)
        # A usage beside choices may be followed by another, which counts.
        self.is_over = self.has_finished and usage is not None and not choices

    def _begin(self, chunk: Mapping[str, Any]) -> None:
        """Keep the first chunk's own names: all others must have the same."""
        if self._head is not None:
            return
        given, created = chunk.get("id"), chunk.get("created")
        fingerprint = chunk.get("system_fingerprint")
        prefix, kind = ("chatcmpl", "chat.completion.chunk") if self.is_chat else ("cmpl", "text_completion")
        self._head = {
            "id": given if isinstance(given, str) and given else f"{prefix}-{uuid.uuid4().hex}",
            "object": kind,
            "created": created if isinstance(created, int) else int(time.time()),
            "model": self.model,
            "system_fingerprint": fingerprint if isinstance(fingerprint, str) else _FINGERPRINT,
        }

    def _of_choice(self, choice: Json) -> Iterator[Json]:
        index = place(choice.get("index"), 0)
        if index in self._finished or index >= self.choices:
            return
        reason = choice.get("finish_reason") or None
        if reason in _FAILURES:
            raise UpstreamFailed("a choice ended in an error")
        if index not in self._opened:
            self._opened.add(index)
            if self.is_chat:
                yield self._chunk([self._choice(index, None, {"role": "assistant", "content": ""})])
        said = self._delta(index, choice) if self.is_chat else {"text": text(choice.get("text"))}
        if any(said.values()):
            logprobs = choice.get("logprobs")
            yield self._chunk([{**self._choice(index, None, said), "logprobs": logprobs}])
        if isinstance(reason, str):
            self._finished.add(index)
            yield self._chunk([self._choice(index, reason)])

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
        arguments, own = _arguments(function.get("arguments")), text(call.get("id"))
        if own in known:
            at = known.index(own)
        elif own or not known:
            at = len(known)  # whatever index it came with: some servers number all their calls 0
        else:
            at = min(place(call.get("index"), len(known) - 1), len(known))
        if at < len(known):
            return {"index": at, "function": {"arguments": arguments}}
        known.append(own or f"call_{uuid.uuid4().hex}")
        told = {"name": text(function.get("name")), "arguments": arguments}
        return {"index": at, "id": known[at], "type": "function", "function": told}

    def _choice(self, index: int, reason: str | None, said: Json | None = None) -> Json:
        part = {"delta": said or {}} if self.is_chat else {"text": "", **(said or {})}
        return {"index": index, **part, "logprobs": None, "finish_reason": reason}

    def _chunk(self, choices: list[Json]) -> Json:
        return {**(self._head or {}), "choices": choices}


def parsed(data: str | bytes) -> Json:
    """Return the object in a text of JSON; a byte order mark before it is passed over (RFC 8259, 8.1).

    Raises:
        UpstreamFailed: it is none: HTML, half a text, ``NaN``.
    """
    try:
        found = orjson.loads(data.removeprefix(b"\xef\xbb\xbf") if isinstance(data, bytes) else data)
    except orjson.JSONDecodeError:
        raise UpstreamFailed("it sent what is no JSON") from None
    if not isinstance(found, dict):
        raise UpstreamFailed("it sent what is no JSON object")
    return found


def counted(usage: Any) -> Json | None:
    """Return a ``usage`` that tells the prompt's tokens and the completion's; ``None`` for any other."""
    if not isinstance(usage, dict):
        return None
    completion = 0 if usage.get("completion_tokens") is None else whole_number(usage["completion_tokens"])
    prompt, total = whole_number(usage.get("prompt_tokens")), whole_number(usage.get("total_tokens"))
    if completion is None:
        return None
    if prompt is None and usage.get("prompt_tokens") is None and total is not None and total >= completion:
        prompt = total - completion
    if prompt is None:
        return None
    details = {name: usage[name] for name in _DETAILS if isinstance(usage.get(name), dict)}
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **details}


def whole_number(given: Any) -> int | None:
    """Return a JSON value as a count; ``None`` unless it is a number without fraction, from 0 to 2^53."""
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= _LARGEST:
        return None
    return int(given) if given == int(given) else None


def objects(given: Any) -> list[Json]:
    """Return the objects of a list, and nothing of what is none."""
    return [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []


def text(given: Any) -> str:
    """Return a text, or the texts of parts; anything else says nothing."""
    if isinstance(given, list):
        return "".join(text(part.get("text")) for part in objects(given))
    return given if isinstance(given, str) else ""


def place(given: Any, default: int) -> int:
    """Return an index; servers leave it out, or send null."""
    return given if isinstance(given, int) and not isinstance(given, bool) and given >= 0 else default


def _arguments(given: Any) -> str:
    """Return a call's arguments as the text that they are in OpenAI's API; some servers send the object."""
    return given if isinstance(given, str) else "" if given is None else orjson.dumps(given).decode()


def _framed(chunk: Json) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"
