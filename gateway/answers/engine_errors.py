"""An engine's own errors become ours."""

import re
from typing import Any

import orjson

from gateway.http import errors


def from_engine(status: int, body: bytes, prompt: str = "messages") -> errors.ApiError:
    """Mend an engine's own error: vLLM's codes are integers, its messages unbounded and full of input.

    Args:
        status: the engine's HTTP status, 400 or above.
        body: the engine's body, in whatever shape.
        prompt: the field that holds the prompt, which a prompt that is too long is blamed on.
    """
    fields = _error_fields(body)
    message = fields.get("message")
    if status >= 500 or not isinstance(message, str):
        if status == 503:
            return errors.model_loading() if fields.get("code") == "model_loading" else errors.overloaded()
        return errors.engine_lost() if status >= 500 else errors.ApiError(status, "Bad request.")
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


_FOOTNOTE = re.compile(r" ?\(parameter=.*\)", re.DOTALL)


def _error_fields(body: bytes) -> dict[str, Any]:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else None
    return error if isinstance(error, dict) else {}
