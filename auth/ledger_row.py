"""One line of the ledger."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, Self

import orjson

LOST = "lost"
"""The error code of a request whose gateway replica died before it could say how it ended."""

MAX_USER_LENGTH = 256
MAX_METADATA_BYTES = 4096
_MAX_NAME_LENGTH = 128


def new_id() -> str:
    """Return a unique id that rises with time."""
    return id_floor(time.time()) + secrets.token_hex(8)


def id_floor(wall_s: float) -> str:
    """Return what the ids of everything that begins after ``wall_s`` (seconds since the epoch) exceed."""
    return f"{max(0, int(wall_s * 1e9)):016x}"


@dataclass(slots=True)
class LedgerRow:
    """One request, whatever became of it. No prompt, no answer.

    While the request is open, the row says what is known or estimated, and its request goes on filling it in.

    Attributes:
        request_id: as the client saw it; clients may choose it, so it need not be unique: ``id`` is.
        key_id, project_id: who asked.
        model_asked: what the client put in ``model``.
        model, engine, replica: which model, engine kind and engine replica answered; empty when none did.
        prompt_tokens, cached_tokens, completion_tokens: of the engine's report, or else counted by the gateway.
        cost: by the model's price.
        estimated: whether the tokens are the gateway's own count, since the engine's has not come, or cannot be.
        status: the HTTP status that was sent; 499 when the client had gone, 0 when lost.
        error_code: as in the error body; ``lost`` when the gateway replica died.
        queued_s, ttft_s, total_s: seconds until the engine had it, to the first token, and in all.
        user, metadata: what the client said; cut to a bound, never trusted.
        created_at: seconds since the epoch.
    """

    request_id: str
    key_id: str
    project_id: str
    model_asked: str
    model: str = ""
    replica: str = ""
    engine: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    estimated: bool = False
    status: int = 0
    error_code: str | None = None
    finish_reason: str | None = None
    queued_s: float | None = None
    ttft_s: float | None = None
    total_s: float | None = None
    streamed: bool = False
    user: str | None = None
    metadata: Mapping[str, str] | None = None
    created_at: float = field(default_factory=time.time)
    id: str = field(default_factory=new_id)

    @property
    def hour(self) -> int:
        """The hour since the epoch in which the request began."""
        return int(self.created_at // 3600)

    def dimensions(self) -> tuple[str, ...]:
        """Return project, key, model and the model that was asked for, as their columns take them."""
        return tuple(_text(getattr(self, name), _LENGTHS[name]) for name in _DIMENSIONS)

    def columns(self) -> dict[str, Any]:
        """Return the row as the database takes it: bounded, and fit to be read out."""
        columns = dict(zip(_FIELDS, _values_of(self), strict=True))
        for name, length in _LENGTHS.items():
            if columns[name] is not None:
                columns[name] = _text(str(columns[name]), length)
        columns["metadata"] = None if self.metadata is None else _bounded_json(self.metadata)
        return columns

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> Self:
        """Return the row that :meth:`columns` tells of; raises ``ValueError``, ``TypeError`` or ``KeyError``."""
        metadata = columns["metadata"]
        return cls(**{**columns, "metadata": None if metadata is None else orjson.loads(metadata)})


_FIELDS = tuple(field.name for field in fields(LedgerRow))
_DIMENSIONS = ("project_id", "key_id", "model", "model_asked")
_LENGTHS = {
    **dict.fromkeys(("request_id", "model_asked", "model", "replica"), _MAX_NAME_LENGTH),
    **dict.fromkeys(("key_id", "project_id", "engine"), 40),
    "error_code": 64,
    "finish_reason": 32,
    "user": MAX_USER_LENGTH,
}
"""How much of each text its column takes (``auth/ledger_tables.py``); ``id`` is ours, and ``metadata`` JSON."""
_values_of = attrgetter(*_FIELDS)  # ``dataclasses.asdict`` copies deeply, at ten times the cost


_UNFIT = "\N{REPLACEMENT CHARACTER}"
"""In place of what would break a line or steer a terminal where the ledger is read out, or what no database stores."""


def _text(text: str, length: int) -> str:
    cut = text[:length]
    return cut if cut.isprintable() else "".join(sign if sign.isprintable() else _UNFIT for sign in cut)


def _bounded_json(metadata: Mapping[str, str]) -> str:
    try:
        text = orjson.dumps(dict(metadata)).decode().replace("\\u0000", "")
    except orjson.JSONEncodeError:
        return "{}"
    return text if len(text) <= MAX_METADATA_BYTES else "{}"
