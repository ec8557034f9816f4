"""The other server's troubles, told as ours: none of its text leaves where it may hold its keys, names or addresses."""

import datetime
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import orjson
from starlette.responses import JSONResponse

from engines.base import error_response

MISCONFIGURED = frozenset({401, 402, 403, 404, 405, 407, 410})
"""What only whoever configured the upstream can mend: its key, its account, its URL, its name of the model."""

OF_THE_CLIENT = frozenset({400, 413, 415, 422})
"""What the client's own request has brought about; the reason is told."""

_OF_THE_KEY = frozenset({"invalid_api_key", "insufficient_quota", "authentication_error", "permission_error"})
"""Codes and types by which servers blame the key under another status."""

MESSAGE_LIMIT = 600
RETRY_LIMIT_S = 24 * 3600


class UpstreamFailed(Exception):
    """What the other server sent is no answer; the message says why, for the log, without its text."""


def misconfigured() -> JSONResponse:
    """The other server refuses us: that is ours to mend, and the next candidate's to answer."""
    message = "The upstream server of this model does not accept this gateway's requests."
    return error_response(502, message, type="server_error", code="upstream_misconfigured")


def unusable() -> JSONResponse:
    """The other server failed, or sent what is no answer."""
    return error_response(502, "The upstream server failed.", type="server_error", code="upstream_failed")


def unreachable() -> JSONResponse:
    """Nothing answers at the other server's address."""
    kind, code = "service_unavailable_error", "server_is_overloaded"
    return error_response(503, "The upstream server cannot be reached.", type=kind, code=code)


def refused(status: int, headers: Mapping[str, str], body: bytes) -> JSONResponse:
    """Return our answer to a request that the other server did not take.

    Args:
        status: the other server's, 300 or above.
        headers: the other server's.
        body: the other server's, in whatever shape.
    """
    error = _error(body)
    if status in MISCONFIGURED or 300 <= status < 400 or _OF_THE_KEY & {error.get("code"), error.get("type")}:
        return misconfigured()
    if status == 429:
        message = "The upstream server takes no more requests now. Please retry."
        response = error_response(429, message, type="requests", code="rate_limit_exceeded")
        return _with_wait(response, headers)
    if status == 503:
        message = "The upstream server is overloaded. Please retry."
        response = error_response(503, message, type="service_unavailable_error", code="server_is_overloaded")
        return _with_wait(response, headers)
    if status not in OF_THE_CLIENT:
        return unusable()
    told: list[Any] = [error.get(name) for name in ("message", "param", "code")]
    message, param, code = told
    return error_response(
        status,
        message[:MESSAGE_LIMIT] if isinstance(message, str) else "The upstream server refused the request.",
        param=param if isinstance(param, str) else None,
        code=code if isinstance(code, str) else None,
    )


def error_event() -> bytes:
    """Return the events that end a stream of chunks which failed after its status had left."""
    return b"data: " + bytes(unusable().body) + b"\n\ndata: [DONE]\n\n"


def named_error_event() -> bytes:
    """Return the event that ends a stream of named events which failed after its status had left."""
    error = {"type": "api_error", "code": "upstream_failed", "message": "The upstream server failed.", "param": None}
    return b"event: error\ndata: " + orjson.dumps({"type": "error", "error": error}) + b"\n\n"


def _with_wait(response: JSONResponse, headers: Mapping[str, str]) -> JSONResponse:
    if (wait_s := _wait_s(headers.get("retry-after", ""))) is not None:
        response.headers["retry-after"] = str(wait_s)
    return response


def _wait_s(told: str) -> int | None:
    """Return ``Retry-After`` in seconds, where it is a number or a date (RFC 9110, 10.2.3)."""
    try:
        if told.replace(".", "", 1).isdecimal():
            seconds = float(told)
        else:
            seconds = (parsedate_to_datetime(told) - datetime.datetime.now(datetime.UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(0, round(seconds + 0.49)), RETRY_LIMIT_S)


def _error(body: bytes) -> dict[str, Any]:
    """Return the error of a body; some servers put a list of one around it."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    if isinstance(parsed, list) and parsed:
        parsed = parsed[0]
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else None
    return {name: value for name, value in error.items() if isinstance(value, str)} if isinstance(error, dict) else {}
