"""What HAProxy answers when a request does not reach the gateway, in the shape of every other error.

HAProxy 2.8 uses these once it has a whole request's headers. What does not parse as HTTP at all gets its built-in
400, which no setting changes.
"""

from http import HTTPStatus
from pathlib import Path

from gateway.http import errors
from gateway.http.errors import ApiError

GATEWAY_STARTS_S = 5
"""Within which a gateway that died is usually replaced."""


def _errors(answer_timeout_s: float) -> dict[int, ApiError]:
    """Return the answer to each of HAProxy's own statuses."""
    malformed = ApiError(400, "The request is not valid HTTP.")
    return {
        400: malformed,
        413: ApiError(413, "The request is too large.", code="request_too_large"),
        500: errors.internal(),
        501: malformed,
        502: errors.internal(),
        503: errors.overloaded(
            "No gateway process is ready to take the request. Please retry.", retry_after_s=GATEWAY_STARTS_S
        ),
        504: errors.timeout(answer_timeout_s),
    }


def write_error_pages(folder: Path, *, answer_timeout_s: float) -> None:
    """Write one ``STATUS.http`` file for each status that HAProxy may answer itself.

    Args:
        folder: where to; it is made.
        answer_timeout_s: how long HAProxy waits for an answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for status, error in _errors(answer_timeout_s).items():
        body = error.body()
        head = {
            **error.headers,
            "content-type": "application/json",
            "content-length": str(len(body)),
            "connection": "close",
            "openai-version": "2020-10-01",
        }
        lines = [f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in head.items()]
        (folder / f"{status}.http").write_bytes("\r\n".join([*lines, "", ""]).encode() + body)
