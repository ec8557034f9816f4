"""Another server's named events (Anthropic's messages, OpenAI's responses), under our name of the model."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import orjson

from engines.upstream.failures import UpstreamFailed
from engines.upstream.fields import Json, parsed
from engines.upstream.sse import Event


@dataclass(frozen=True)
class _Form:
    """What one API's events are called.

    Attributes:
        holder: the field in which an event has the answer as it stands, with the model's name.
        final: the events that end a stream well.
        failed: those that end it otherwise.
    """

    holder: str
    final: frozenset[str]
    failed: frozenset[str]


_FORMS: Mapping[str, _Form] = {
    "messages": _Form("message", frozenset({"message_stop"}), frozenset({"error"})),
    "responses": _Form(
        "response", frozenset({"response.completed", "response.incomplete"}), frozenset({"error", "response.failed"})
    ),
}
"""By path behind ``/v1/``."""


@dataclass
class NamedEvents:
    """One stream of named events on its way.

    Attributes:
        path: behind ``/v1/``.
        model: our name of the model.
        is_over: whether nothing more is to come, whatever the server sends.
        has_finished: the same; behind the last event there is nothing to wait for.
    """

    path: str
    model: str
    is_over: bool = False
    _has_begun: bool = False

    @property
    def has_finished(self) -> bool:
        """Whether the answer has ended."""
        return self.is_over

    def feed(self, events: Iterable[Event]) -> bytes:
        """Return what the events come to, each with both its lines; nothing before the one that begins the answer.

        Raises:
            UpstreamFailed: an event is an error, or none at all.
        """
        return b"".join(map(self._told, events))

    def end(self) -> bytes:
        """Return the end of the stream, which has been told.

        Raises:
            UpstreamFailed: the server has stopped in the middle.
        """
        if not (self.is_over and self._has_begun):
            raise UpstreamFailed("it ended in the middle of an answer")
        return b""

    def _told(self, event: Event) -> bytes:
        if self.is_over or event.data.strip() == "[DONE]":
            return b""
        form, data = self._form, parsed(event.data)
        name = str(data.get("type") or event.name)
        if {name, event.name} & form.failed or data.get("error"):
            raise UpstreamFailed("it sent an error event")
        if isinstance(held := data.get(form.holder), dict):
            self._has_begun = True
            data = {**data, form.holder: {**held, "model": self.model}}
        self.is_over = name in form.final
        return _framed(name, data) if self._has_begun else b""

    @property
    def _form(self) -> _Form:
        try:
            return _FORMS[self.path]
        except KeyError:
            raise UpstreamFailed("it sent a stream that no client could read") from None


def _framed(name: str, data: Json) -> bytes:
    if not name.replace(".", "").replace("_", "").isalnum():
        raise UpstreamFailed("it sent an event without a name")
    return f"event: {name}\n".encode() + b"data: " + orjson.dumps(data) + b"\n\n"
