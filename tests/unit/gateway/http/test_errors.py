"""The error contract."""

import orjson
import pytest

from gateway.answers.engine_errors import from_engine
from gateway.http import errors


def test_every_error_has_all_four_fields() -> None:
    body = orjson.loads(errors.unknown_route("GET").body())
    assert set(body["error"]) == {"message", "type", "param", "code"}


def test_messages_are_bounded() -> None:
    assert len(errors.invalid_value("x", "long " * 10_000).message) <= errors.MESSAGE_LIMIT


def test_vllms_integer_code_becomes_a_word() -> None:
    error = from_engine(
        400, b'{"error":{"message":"top_k must be 0","type":"BadRequestError","param":"top_k","code":400}}'
    )
    assert (error.status, error.code, error.param, error.type) == (
        400,
        "invalid_value",
        "top_k",
        "invalid_request_error",
    )


def test_a_prompt_over_the_context_says_so_in_code_and_text() -> None:
    told = b'{"error":{"message":"This model\'s maximum context length is 2048 tokens. However, ...","code":400}}'
    error = from_engine(400, told)
    assert error.code == "context_length_exceeded"
    assert "(context_length_exceeded)" in error.message


def test_an_engine_that_repeats_its_input_is_not_repeated() -> None:
    error = from_engine(400, b"{\"error\":{\"message\":\"[{'type': 'x', 'input': 'my secret'}]\",\"code\":400}}")
    assert "secret" not in error.message


@pytest.mark.parametrize(
    "body", [b"", b"Internal Server Error", b"[]", b'{"detail":"Not Found"}', b'{"error":"Unauthorized"}']
)
def test_bodies_of_other_shapes_are_mended(body: bytes) -> None:
    assert from_engine(409, body).status == 409
    assert from_engine(500, body).code == "internal_error"


def test_422_becomes_400() -> None:
    assert from_engine(422, b'{"error":{"message":"bad"}}').status == 400


def test_overload_and_loading_say_when_to_come_back() -> None:
    assert "retry-after" in errors.overloaded().headers
    assert "retry-after" in errors.model_loading().headers


@pytest.mark.parametrize("code", ["model_loading", "server_is_overloaded"])
def test_a_pipeline_may_say_why_a_model_behind_it_is_not_there(code: str) -> None:
    body = orjson.dumps({"error": {"message": "no", "type": "service_unavailable_error", "param": None, "code": code}})
    assert from_engine(503, body).code == code
