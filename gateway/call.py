"""A generating request, parsed: what is asked, of which model, in what form."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.settings import Bounds


@dataclass(frozen=True)
class Call:
    """A generating request within bounds.

    Attributes:
        path: where the engine is asked.
        model: the name that the client asked for, if it did.
        stream: whether the answer is a stream of events.
        include_usage: whether the client wants the usage chunk.
        max_tokens: completion tokens of one choice at most, if the client bounds them.
        choices: how many completions are asked for.
        user, metadata: what the client says of itself; stored, never trusted.
        payload: the body as the client sent it.
    """

    path: str
    model: str | None
    stream: bool
    include_usage: bool
    max_tokens: int | None
    choices: int
    user: str | None
    metadata: Mapping[str, str] | None
    payload: dict[str, Any]

    def body_for(self, model: str, cache_salt: str | None = None) -> bytes:
        """Return the body for the engine of ``model``; its streams always tell their usage, for the ledger.

        Args:
            model: the model's own name, where the client may have asked for an alias.
            cache_salt: for engines that have a prefix cache, in place of the client's own.
        """
        payload = {**self.payload, "model": model}
        if cache_salt is not None:
            payload["cache_salt"] = cache_salt
        if self.stream:
            payload["stream_options"] = {**(payload.get("stream_options") or {}), "include_usage": True}
        return orjson.dumps(payload)


Parse = Callable[[dict[str, Any], Bounds], Call]
"""Turns an endpoint's JSON into a :class:`Call`, or raises a 400."""
