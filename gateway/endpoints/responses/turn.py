"""One response on its way: what the gateway alone knows of it, and what has become of it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from auth.keys import Key
from gateway.http.errors import ApiError
from objects.ids import new_id
from objects.responses import RUNNING, StoredResponse

Json = dict[str, Any]

_DEFAULTS: Json = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_retention": None,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": "default",
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
}
"""Fields of a response that repeat the request's."""

_WHEN_GIVEN = ("prompt_cache_key", "safety_identifier", "user")
"""Those that are not there, rather than null, when the request does not have them."""

_RATE_LIMITED = "rate_limit_exceeded"


@dataclass
class Turn:
    """A response that is being made.

    Attributes:
        body: the API's object as it stands.
        key: who asks.
        input: the items that the request adds to the conversation.
        keep_s: how long the response is kept.
        previous: the response that it continues.
        events: events of its stream that have been relayed.
        is_kept: whether it has been stored as it is now.
    """

    body: Json
    key: Key
    input: Sequence[Json]
    keep_s: float
    previous: StoredResponse | None = None
    events: int = 0
    is_kept: bool = False
    _own: Json = field(init=False)

    def __post_init__(self) -> None:
        names = ("id", "created_at", "background", "store", "previous_response_id", "metadata")
        self._own = {name: self.body[name] for name in names}

    @property
    def id(self) -> str:
        """The response's id."""
        return str(self.body["id"])

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will become of it."""
        return self.body["status"] not in RUNNING

    def told(self, response: Json) -> Json:
        """Take a response as an engine tells it, and return it with what only the gateway knows."""
        self.body = {**self.body, **response, **self._own}
        return self.body

    def began(self) -> Json:
        """Note that a run in the background has begun, and return the body."""
        self.body = {**self.body, "status": "in_progress"}
        return self.body

    def failed(self, error: ApiError) -> Json:
        """Note that it has failed, and return the body."""
        code = _RATE_LIMITED if error.status == 429 else "invalid_prompt" if error.status < 500 else "server_error"
        self.body = {**self.body, "status": "failed", "error": {"code": code, "message": error.message}}
        return self.body

    def left(self) -> None:
        """Note that nobody wants it any more; what has ended stays as it is."""
        if not self.has_ended:
            self.body = {**self.body, "status": "cancelled"}

    def stored(self, gateway: str | None = None) -> StoredResponse:
        """Return it as it is to be stored; ``gateway`` is the replica that runs it in the background."""
        return StoredResponse(
            id=self.id,
            project=self.key.project,
            key=self.key.id,
            created_at=self.body["created_at"],
            expires_at=self.body["created_at"] + self.keep_s,
            status=self.body["status"],
            body=self.body,
            input=list(self.input),
            previous_id=self.previous.id if self.previous else None,
            turns=self.previous.turns + 1 if self.previous else 1,
            gateway=gateway,
        )


def begun(payload: Json) -> Json:
    """Return the response to a request before any engine has seen it."""
    is_background = bool(payload.get("background"))
    return {
        "id": new_id("resp_"),
        "object": "response",
        "created_at": int(time.time()),
        "status": "queued" if is_background else "in_progress",
        "background": is_background,
        "completed_at": None,
        "conversation": None,
        "error": None,
        "incomplete_details": None,
        "model": payload.get("model"),
        "output": [],
        "previous_response_id": payload.get("previous_response_id"),
        "prompt": None,
        "store": payload.get("store") is not False,
        "tools": [{"description": None, "parameters": None, "strict": False, **tool} for tool in _tools(payload)],
        **{name: default if payload.get(name) is None else payload[name] for name, default in _DEFAULTS.items()},
        **{name: payload[name] for name in _WHEN_GIVEN if payload.get(name) is not None},
    }


def _tools(payload: Json) -> Sequence[Json]:
    return payload.get("tools") or ()
