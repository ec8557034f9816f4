"""An answer other than success, in the API's form."""

from typing import Any, Self

import orjson


class ApiError(Exception):
    """Ends an answer with an error: a model's own passes through, and a pipeline may raise one.

    Attributes:
        status: the HTTP status.
        message, type, code, param: the fields of the API's error; a message must not repeat what the client sent.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",  # noqa: A002 - the API's own word
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.code = code
        self.param = param

    def fields(self) -> dict[str, Any]:
        """Return the error as the API writes it."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    @classmethod
    def invalid(cls, param: str | None, problem: str) -> Self:
        """A field of the request is wrong."""
        where = f"Invalid value for '{param}'" if param else "Invalid request body"
        return cls(400, f"{where}: {problem}.", code="invalid_value", param=param)

    @classmethod
    def unsupported(cls, param: str) -> Self:
        """A field asks for what a pipeline cannot do."""
        message = f"Unsupported parameter: '{param}'. A pipeline answers once, with text."
        return cls(400, message, code="unsupported_parameter", param=param)

    @classmethod
    def loading(cls) -> Self:
        """A model that the pipeline needs has no running replica."""
        message = "A model that this one asks is not ready. Please retry."
        return cls(503, message, type="service_unavailable_error", code="model_loading")

    @classmethod
    def overloaded(cls) -> Self:
        """A model that the pipeline needs takes no more requests."""
        message = "A model that this one asks is busy. Please retry."
        return cls(503, message, type="service_unavailable_error", code="server_is_overloaded")

    @classmethod
    def broken(cls) -> Self:
        """Something failed that is neither the client's fault nor a want of room; the log says what."""
        message = "The model stopped before the answer was complete. Please retry."
        return cls(500, message, type="server_error", code="internal_error")

    @classmethod
    def of_model(cls, status: int, body: bytes) -> Self:
        """Return a model's own error: 400 and above, or 200 for one that came in the midst of a stream."""
        try:
            error = orjson.loads(body)["error"]
            message, kind = str(error["message"]), str(error.get("type") or "invalid_request_error")
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return cls.overloaded() if status == 503 else cls.broken()
        code, param = (value if isinstance(value := error.get(name), str) else None for name in ("code", "param"))
        return cls(status if status >= 400 else 500, message, type=kind, code=code, param=param)
