"""Every error that can leave, in one table.

=======  ==========================  ===========================  ==========================================
status   type                        code                         made by
=======  ==========================  ===========================  ==========================================
400      invalid_request_error       invalid_json                 :func:`invalid_json`
400      invalid_request_error       missing_required_parameter   :func:`missing_parameter`
400      invalid_request_error       invalid_value                :func:`invalid_value`
400      invalid_request_error       null                         :func:`body_too_slow`
400      invalid_request_error       previous_response_not_found  :func:`previous_response_not_found`
400      invalid_request_error       unsupported_parameter        :func:`unsupported_parameter`, the engines
400      invalid_request_error       context_length_exceeded      ``engine_errors``
400      invalid_request_error       storage_quota_exceeded       :func:`from_object`
401      invalid_request_error       invalid_api_key, null        :func:`unauthenticated`
403      invalid_request_error       permission_denied            :func:`permission_denied`
404      invalid_request_error       model_not_found              :func:`model_not_found`
404      invalid_request_error       endpoint_not_supported       :func:`endpoint_not_supported`
404      invalid_request_error       not_found                    :func:`from_auth`, :func:`from_object`
404      invalid_request_error       null                         :func:`unknown_route`
405      invalid_request_error       null                         :func:`method_not_allowed`
409      invalid_request_error       conflict                     :func:`from_auth`, :func:`from_object`
413      invalid_request_error       request_too_large            :func:`too_large`
415      invalid_request_error       null                         :func:`unsupported_media_type`
429      requests, tokens            rate_limit_exceeded          :func:`rejected`, :func:`from_object`
429      insufficient_quota          insufficient_quota           :func:`rejected`
429      requests                    rate_limit_exceeded          ``engine_errors``
429      requests                    too_many_refusals            ``refusing``
500      server_error                internal_error               :func:`internal`
502      server_error                upstream_misconfigured       ``engine_errors``
503      service_unavailable_error   server_is_overloaded         :func:`overloaded`
503      service_unavailable_error   model_loading                :func:`model_loading`
504      server_error                timeout                      :func:`timeout`
=======  ==========================  ===========================  ==========================================

No message repeats what the client sent, but for the name of a parameter.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError

from auth.errors import AuthError, Conflict, NameTaken, NotFound
from auth.rejection import Rejected
from objects.errors import InUse, NoSuchObject, ObjectError, QuotaExceeded, StorageFailed, TooMany

MESSAGE_LIMIT = 600
"""Characters; an engine's validation error once repeated a 4 KB body into 23 MB."""


class ApiError(Exception):
    """An answer other than success; becomes ``{"error": {message, type, param, code}}``."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",  # noqa: A002 - the API's own word
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        delay_s: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message[:MESSAGE_LIMIT]
        self.type = type
        self.code = code
        self.param = param
        self.headers = dict(headers or {})
        self.delay_s = delay_s

    def body(self) -> bytes:
        """Return the JSON body, which is also the data of an error event."""
        fields = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return orjson.dumps({"error": fields})

    def event(self) -> bytes:
        """Return the error as the end of a stream whose status has already left."""
        return b"data: " + self.body() + b"\n\ndata: [DONE]\n\n"


def invalid_json() -> ApiError:
    """The body does not parse."""
    message = "We could not parse the JSON body of your request. The request body must be valid UTF-8 encoded JSON."
    return ApiError(400, message, code="invalid_json")


def invalid_value(param: str | None, message: str) -> ApiError:
    """A field is there, and wrong."""
    return ApiError(400, message, code="invalid_value", param=param)


def unsupported_parameter(param: str, reason: str) -> ApiError:
    """A field that the API knows and that cannot be honoured here."""
    return ApiError(400, f"Unsupported parameter: '{param}'. {reason}", code="unsupported_parameter", param=param)


def missing_parameter(param: str) -> ApiError:
    """A field is not there."""
    return ApiError(400, f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param)


def within(place: str, error: ApiError) -> ApiError:
    """Say of an error where the object is in which its ``param`` was found."""
    param = f"{place}.{error.param}" if error.param else place
    return ApiError(error.status, error.message, type=error.type, code=error.code, param=param)


def unauthenticated(*, missing: bool, delay_s: float = 0.0) -> ApiError:
    """No key, or one that does not hold: unknown, revoked and expired keys look the same, and wait the same."""
    message = (
        "You didn't provide an API key. Send it in the Authorization header: 'Authorization: Bearer YOUR_KEY'."
        if missing
        else "Incorrect API key provided. Ask your administrator for a key, or run 'raygate keys create'."
    )
    code = None if missing else "invalid_api_key"
    return ApiError(401, message, code=code, headers={"www-authenticate": "Bearer"}, delay_s=delay_s)


def permission_denied(scopes: Sequence[str]) -> ApiError:
    """The key holds, but not for this."""
    needed = " or ".join(f"'{scope}'" for scope in scopes)
    return ApiError(403, f"This API key does not have the scope {needed}.", code="permission_denied")


def model_not_found() -> ApiError:
    """No such model, or none that this key may see."""
    message = "The model does not exist or you do not have access to it. GET /v1/models lists the models you can use."
    return ApiError(404, message, code="model_not_found", param="model")


def endpoint_not_supported(path: str, served: Sequence[str]) -> ApiError:
    """The model exists, but not for this; it is said before any engine is asked."""
    instead = f"It serves {', '.join(served)}." if served else "It serves none at all."
    message = f"The model does not serve {path}. {instead} GET /v1/models tells what each model serves."
    return ApiError(404, message, code="endpoint_not_supported", param="model")


def previous_response_not_found() -> ApiError:
    """The response to continue is not there; OpenAI's own status and code."""
    message = "The previous response was not found: it is not your project's, has expired, or was not stored."
    return ApiError(400, message, code="previous_response_not_found", param="previous_response_id")


def unknown_route(method: str) -> ApiError:
    """Nothing answers at this path."""
    return ApiError(404, f"Unknown request URL for method {method}. Check the URL for typos.")


def method_not_allowed(allowed: str) -> ApiError:
    """The path exists, for other methods."""
    return ApiError(405, f"Not allowed to use this method here. Allowed: {allowed}.", headers={"allow": allowed})


def body_too_slow(limit_s: float) -> ApiError:
    """The client did not finish sending its body. Not 408, which the SDK would send again."""
    message = f"The request body did not arrive within {limit_s:g} seconds."
    return ApiError(400, message, headers={"connection": "close"})


def too_large(limit: int) -> ApiError:
    """The body is over the bound; decided before it is read to the end."""
    message = f"The request body is larger than the limit of {limit} bytes."
    return ApiError(413, message, code="request_too_large", headers={"connection": "close"})


def unsupported_media_type(wanted: str = "application/json") -> ApiError:
    """The body is, by its own account, not of the form that the endpoint takes."""
    return ApiError(415, f"Send the request body with 'Content-Type: {wanted}'.")


def rejected(rejection: Rejected) -> ApiError:
    """A limit of the key or its project has no room for the request (RFC 6585; the headers are OpenAI's)."""
    frees_in_s = rejection.frees_in_s
    headers = {} if frees_in_s is None else come_back(frees_in_s)
    if rejection.kind == "budget":
        # The SDK would try again, and a budget frees at midnight.
        headers["x-should-retry"] = "false"
        return ApiError(429, str(rejection), type="insufficient_quota", code="insufficient_quota", headers=headers)
    if frees_in_s is None:
        headers["x-should-retry"] = "false"
    kind = "tokens" if rejection.kind == "tokens" else "requests"
    return ApiError(429, str(rejection), type=kind, code="rate_limit_exceeded", headers=headers)


def from_auth(error: AuthError) -> ApiError:
    """An operator asked for something impossible; the SDK would send a 409 again, and it would fail again."""
    if isinstance(error, NotFound):
        return ApiError(404, "There is no key or project of that id or name, or several.", code="not_found")
    if isinstance(error, NameTaken):
        return _conflict("The name is in use already.")
    if isinstance(error, Conflict):
        return _conflict("It has been changed by somebody else: read it again, then repeat the change.")
    return invalid_value(None, f"{error}.")


def from_object(error: ObjectError) -> ApiError:
    """A stored object is not there, is in use, or has no room."""
    match error:
        case NoSuchObject():
            return ApiError(404, "There is no such object, or it is not your project's.", code="not_found")
        case InUse():
            return _conflict("It cannot be changed in its present state: a batch that runs needs it, or it has ended.")
        case QuotaExceeded(quota=quota):
            message = f"Your project's files would take more than {quota} bytes. Delete some of them first."
            return ApiError(400, message, code="storage_quota_exceeded", param="file")
        case TooMany(most=most):
            message = f"Your project has {most} batches that have not ended, which is the most it may have."
            headers = {"x-should-retry": "false"}
            return ApiError(429, message, type="requests", code="rate_limit_exceeded", headers=headers)
        case StorageFailed():
            return overloaded("The file storage does not answer. Please retry.")
        case _:
            return internal()


def _conflict(message: str) -> ApiError:
    return ApiError(409, message, code="conflict", headers={"x-should-retry": "false"})


def internal() -> ApiError:
    """Something of ours broke; the log says what, under the request's id."""
    message = "The server had an error while processing your request. Please quote x-request-id when you report it."
    return ApiError(500, message, type="server_error", code="internal_error")


def overloaded(
    message: str = "The server is currently overloaded. Please retry.", *, retry_after_s: float = 1
) -> ApiError:
    """No replica takes the request now."""
    headers = come_back(retry_after_s)
    return ApiError(503, message, type="service_unavailable_error", code="server_is_overloaded", headers=headers)


def model_loading(*, retry_after_s: float = 5) -> ApiError:
    """The model has no running replica at the moment."""
    message = "The model is not ready: it is starting, or coming back. GET /readyz shows its state. Please retry."
    headers = come_back(retry_after_s)
    return ApiError(503, message, type="service_unavailable_error", code="model_loading", headers=headers)


def come_back(seconds: float) -> dict[str, str]:
    """Return the headers that say when to ask again."""
    return {"retry-after": str(math.ceil(seconds)), "retry-after-ms": str(math.ceil(seconds * 1000))}


def timeout(limit_s: float) -> ApiError:
    """The answer took too long; tokens may have been spent, so clients are told not to retry."""
    message = f"The request took longer than {limit_s:g} seconds."
    return ApiError(504, message, type="server_error", code="timeout", headers={"x-should-retry": "false"})


def engine_lost() -> ApiError:
    """The engine went away in the middle of an answer."""
    message = "The model stopped before the answer was complete. Please retry."
    return ApiError(500, message, type="server_error", code="internal_error")


def from_request(error: RequestValidationError) -> ApiError:
    """Turn FastAPI's finding into the API's error; its path begins with where the field stands (``query``, ...)."""
    return from_validation([{**finding, "loc": finding["loc"][1:]} for finding in error.errors()])


def from_validation(errors: Sequence[Any]) -> ApiError:
    """Turn Pydantic's first finding into the API's error, without its copy of the input.

    Args:
        errors: what ``ValidationError.errors(include_input=False, include_url=False)`` returns.
    """
    first = errors[0]
    path = [str(part) for part in first["loc"] if part not in _BRANCHES and _is_field(part)]
    param = ".".join(path)[:_PARAM_LIMIT] or None
    if first["type"] == "missing":
        return missing_parameter(param or "body")
    where = f"Invalid value for '{param}'" if param else "Invalid request body"
    return invalid_value(param, f"{where}: {first['msg'].removeprefix('Value error, ')}.")


_PARAM_LIMIT = 128
_BRANCHES = frozenset({"str", "int", "float", "bool"})
"""Pydantic names the branch of a union in the path ("content.str"); clients know only the fields."""


def _is_field(part: str | int) -> bool:
    return isinstance(part, int) or part.isidentifier()
