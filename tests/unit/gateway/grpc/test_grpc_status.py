"""An error of the API is a status code of gRPC's, with the error's own fields beside it."""

import inspect
import re
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from gateway.grpc.status import CODES, code_of, details_of, late_code_of
from gateway.http import errors

ERROR = {"message": "Too much.", "type": "tokens", "param": None, "code": "rate_limit_exceeded"}


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, grpc.StatusCode.INVALID_ARGUMENT),
        (401, grpc.StatusCode.UNAUTHENTICATED),
        (403, grpc.StatusCode.PERMISSION_DENIED),
        (404, grpc.StatusCode.NOT_FOUND),
        (413, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (429, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (500, grpc.StatusCode.INTERNAL),
        (503, grpc.StatusCode.UNAVAILABLE),
        (504, grpc.StatusCode.DEADLINE_EXCEEDED),
    ],
)
def test_a_status_has_its_code(status: int, code: grpc.StatusCode) -> None:
    assert code_of(status) is code


def test_every_status_that_a_call_can_meet_has_a_code() -> None:
    table = {int(status) for status in re.findall(r"^(\d{3}) ", inspect.getdoc(errors) or "", re.MULTILINE)}
    assert table - set(CODES) <= {405, 415}  # the method and the media type are ours
    assert code_of(418) is grpc.StatusCode.UNKNOWN


def test_the_documentation_has_the_same_table() -> None:
    page = (Path(__file__).parents[4] / "docs/grpc.md").read_text()
    rows = re.findall(r"^\| `(\d+)` \| `(\w+)` \|$", page, re.MULTILINE)
    assert {int(status): code for status, code in rows} == {status: code.name for status, code in CODES.items()}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.engine_lost(), grpc.StatusCode.INTERNAL),
        (errors.timeout(5), grpc.StatusCode.DEADLINE_EXCEEDED),
        (errors.overloaded(), grpc.StatusCode.UNAVAILABLE),
        (errors.model_loading(), grpc.StatusCode.UNAVAILABLE),
        (errors.invalid_value("n", "No."), grpc.StatusCode.INVALID_ARGUMENT),
        (errors.unauthenticated(missing=False), grpc.StatusCode.UNAUTHENTICATED),
        (errors.ApiError(429, "No.", type="tokens", code="rate_limit_exceeded"), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
def test_an_error_in_the_middle_of_a_stream_has_its_code(error: errors.ApiError, code: grpc.StatusCode) -> None:
    assert late_code_of({"code": error.code, "type": error.type}) is code


def test_the_details_are_those_of_googles_error_model() -> None:
    details = Status.FromString(details_of(grpc.StatusCode.RESOURCE_EXHAUSTED, ERROR, "1500"))
    info, retry = ErrorInfo(), RetryInfo()
    assert details.details[0].Unpack(info)
    assert details.details[1].Unpack(retry)
    assert (details.code, details.message) == (8, "Too much.")
    assert (info.reason, info.domain) == ("RATE_LIMIT_EXCEEDED", "raygate")
    assert dict(info.metadata) == {"type": "tokens", "code": "rate_limit_exceeded"}
    assert retry.retry_delay.ToMilliseconds() == 1500


def test_who_need_not_come_back_is_told_no_time() -> None:
    details = Status.FromString(details_of(grpc.StatusCode.NOT_FOUND, {**ERROR, "param": "model"}, None))
    info = ErrorInfo()
    assert [detail.Unpack(info) for detail in details.details] == [True]
    assert info.metadata["param"] == "model"
