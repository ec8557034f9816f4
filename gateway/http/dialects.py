"""How an error is put: in OpenAI's words, or in Anthropic's on Anthropic's endpoints."""

from typing import Any, Protocol

import orjson

from gateway.http.errors import ApiError


class Dialect(Protocol):
    """One API's way to say that something went wrong."""

    def body(self, error: ApiError) -> bytes:
        """Return the body of a response whose status tells the error."""

    def event(self, error: ApiError) -> bytes:
        """Return the events that end a stream whose status has left already."""


class OpenAI:
    """``{"error": {message, type, param, code}}``; in a stream the same, then ``[DONE]``."""

    def body(self, error: ApiError) -> bytes:
        """Return the JSON body."""
        return error.body()

    def event(self, error: ApiError) -> bytes:
        """Return the error event and the end."""
        return error.event()


class Anthropic:
    """``{"type": "error", "error": {type, message}}``, with the two fields that OpenAI's form has beside these."""

    def body(self, error: ApiError) -> bytes:
        """Return the JSON body."""
        return orjson.dumps(self._fields(error))

    def event(self, error: ApiError) -> bytes:
        """Return the error event, which ends the stream."""
        return b"event: error\ndata: " + self.body(error) + b"\n\n"

    def _fields(self, error: ApiError) -> dict[str, Any]:
        kind = _ANTHROPIC_TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")
        told = {"type": kind, "message": error.message, "param": error.param, "code": error.code}
        return {"type": "error", "error": told}


_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
"""By HTTP status, as Anthropic's API reference has them under "Errors"."""

OPENAI = OpenAI()
ANTHROPIC = Anthropic()
