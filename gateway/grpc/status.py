"""How an error of the API leaves over gRPC: a status code, and the error's fields as google.rpc.Status has them."""

from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

DETAILS = "grpc-status-details-bin"
"""The metadata in which gRPC's own libraries look for google.rpc.Status."""

DOMAIN = "raygate"

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ABORTED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    502: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""By HTTP status; 413 as gRPC's own libraries have it for a message that is too large."""

_LATE = {
    "timeout": grpc.StatusCode.DEADLINE_EXCEEDED,
    "server_is_overloaded": grpc.StatusCode.UNAVAILABLE,
    "model_loading": grpc.StatusCode.UNAVAILABLE,
    "rate_limit_exceeded": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "insufficient_quota": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "invalid_api_key": grpc.StatusCode.UNAUTHENTICATED,
}
"""By error code, for an error of a stream whose HTTP status had left."""


def code_of(status: int) -> grpc.StatusCode:
    """Return gRPC's code for an HTTP status of 400 or above."""
    return CODES.get(status, grpc.StatusCode.UNKNOWN)


def late_code_of(error: Mapping[str, Any]) -> grpc.StatusCode:
    """Return gRPC's code for the error that ends a stream."""
    if error["code"] in _LATE:
        return _LATE[error["code"]]
    is_clients = error["type"] == "invalid_request_error"
    return grpc.StatusCode.INVALID_ARGUMENT if is_clients else grpc.StatusCode.INTERNAL


def details_of(code: grpc.StatusCode, error: Mapping[str, Any], retry_after_ms: str | None) -> bytes:
    """Return the value of :data:`DETAILS`.

    Args:
        code: the call's own status code.
        error: the API's error object: message, type, param, code.
        retry_after_ms: when to come back, as the header of that name has it.
    """
    told = {name: str(error[name]) for name in ("type", "code", "param") if error[name] is not None}
    info = ErrorInfo(reason=str(error["code"] or error["type"]).upper(), domain=DOMAIN, metadata=told)
    details: list[Message] = [info]
    if retry_after_ms is not None:
        retry = RetryInfo()
        retry.retry_delay.FromMilliseconds(int(retry_after_ms))
        details.append(retry)
    status = Status(code=code.value[0], message=error["message"], details=map(_packed, details))
    return bytes(status.SerializeToString())


def _packed(message: Message) -> Packed:
    packed = Packed()
    packed.Pack(message)
    return packed
