"""An engine's own errors become ours."""

import re
from typing import Any

import orjson

from gateway.http import errors

UPSTREAM_MISCONFIGURED = "upstream_misconfigured"
"""The code of an error that an operator alone can mend: engines say it, status and batches look for it."""

_UNTOLD_S = 1.0
"""When to ask again an engine that does not say when."""

_OUR_FAULT = frozenset({401, 402, 403, 404, 405, 407})
"""What says of a request by the gateway that its credential, its account, its URL or its name of the model is wrong:
keys, grants and names of models were checked before any engine was asked."""


class UpstreamLimited(errors.ApiError):
    """The model's provider takes no more requests now, where another model may."""


def upstream_limited(retry_after_s: float) -> UpstreamLimited:
    """The provider's own limit is used up; it is that of all keys together, and says nothing of the one at hand."""
    message = "The model's provider limits the requests of this server; it is no limit of your key. Please retry later."
    headers = errors.come_back(retry_after_s)
    return UpstreamLimited(429, message, type="requests", code="rate_limit_exceeded", headers=headers)


def upstream_misconfigured() -> errors.ApiError:
    """The provider refuses what the operator has configured (credential, URL, name of the model): nobody else's fault.

    The SDK would try again, and it would fail again.
    """
    message = (
        "The model's provider refuses this server's access to it. Neither your key nor your request is at fault:"
        " tell your administrator, to whom 'raygate status' names the model."
    )
    headers = {"x-should-retry": "false"}
    return errors.ApiError(502, message, type="server_error", code=UPSTREAM_MISCONFIGURED, headers=headers)


def from_engine(
    status: int, body: bytes, prompt: str = "messages", retry_after_s: float | None = None
) -> errors.ApiError:
    """Mend an engine's own error: vLLM's codes are integers, its messages unbounded and full of input.

    Args:
        status: the engine's HTTP status, 400 or above.
        body: the engine's body, in whatever shape.
        prompt: the field that holds the prompt, which a prompt that is too long is blamed on.
        retry_after_s: when the engine wants to be asked again, if it says so.
    """
    fields = _error_fields(body)
    if status in _OUR_FAULT or (status >= 500 and fields.get("code") == UPSTREAM_MISCONFIGURED):
        return upstream_misconfigured()
    if status in (429, 503):
        return _later(status, fields.get("code"), retry_after_s)
    message = fields.get("message")
    if status >= 500:
        return errors.engine_lost()
    if not isinstance(message, str):
        return errors.ApiError(status, "Bad request.")
    code = fields.get("code") if isinstance(fields.get("code"), str) else None
    param = fields.get("param") if isinstance(fields.get("param"), str) else None
    # vLLM's own footnote may repeat the value that it was sent.
    message = _FOOTNOTE.sub("", message)
    if "maximum context length" in message or "longer than the maximum model length" in message:
        code, param = "context_length_exceeded", prompt
        if "(context_length_exceeded)" not in message:
            # LangChain looks for the code in the text.
            message = f"{message[: errors.MESSAGE_LIMIT - 30]} (context_length_exceeded)"
    elif "'input'" in message:
        # The engine repeats what it was sent.
        message = "The engine could not accept the request's fields."
    param = param.removeprefix("body.") if param else None
    if status == 422:
        status = 400
    return errors.ApiError(status, message, code=code or ("invalid_value" if status == 400 else None), param=param)


def _later(status: int, code: Any, retry_after_s: float | None) -> errors.ApiError:
    if status == 503 and code == "model_loading":
        return errors.model_loading() if retry_after_s is None else errors.model_loading(retry_after_s=retry_after_s)
    again_s = _UNTOLD_S if retry_after_s is None else retry_after_s
    return upstream_limited(again_s) if status == 429 else errors.overloaded(retry_after_s=again_s)


_FOOTNOTE = re.compile(r" ?\(parameter=.*\)", re.DOTALL)


def _error_fields(body: bytes) -> dict[str, Any]:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else None
    return error if isinstance(error, dict) else {}
