"""The provider's troubles are not the client's."""

import time
from email.utils import formatdate

import orjson
import pytest

from gateway.answers.answer import MAX_WAIT_S, retry_after_s
from gateway.answers.engine_errors import from_engine

TELLING = b'{"error":{"message":"Wrong API key sk-prov**** of org-77","type":"x","param":null,"code":"secret_code"}}'


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405, 407])
def test_a_provider_that_refuses_us_is_our_misconfiguration(status: int) -> None:
    error = from_engine(status, TELLING)
    assert (error.status, error.type, error.code) == (502, "server_error", "upstream_misconfigured")
    assert error.headers == {"x-should-retry": "false"}


@pytest.mark.parametrize("status", [401, 402, 403, 404, 429, 500, 502, 503])
def test_nothing_that_a_provider_says_of_its_troubles_reaches_the_client(status: int) -> None:
    body = from_engine(status, TELLING).body()
    assert not any(word in body for word in (b"sk-prov", b"org-77", b"secret_code"))


def test_an_engine_may_say_itself_that_its_provider_refuses_us() -> None:
    told = {"message": "m", "type": "server_error", "param": None, "code": "upstream_misconfigured"}
    error = from_engine(502, orjson.dumps({"error": told}))
    assert (error.status, error.code) == (502, "upstream_misconfigured")


def test_a_providers_limit_is_not_the_keys_and_says_when_to_come_back() -> None:
    error = from_engine(429, TELLING, retry_after_s=2.5)
    assert (error.status, error.type, error.code) == (429, "requests", "rate_limit_exceeded")
    assert (error.headers["retry-after"], error.headers["retry-after-ms"]) == ("3", "2500")
    assert "no limit of your key" in error.message


def test_a_provider_without_room_says_when_to_come_back() -> None:
    error = from_engine(503, b"<html>", retry_after_s=30)
    assert (error.status, error.code, error.headers["retry-after"]) == (503, "server_is_overloaded", "30")


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "7", "retry-after-ms": "6500"}, 6.5),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "1e12"}, MAX_WAIT_S),
        ({"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"}, 0.0),
    ],
)
def test_when_to_come_back_is_read_within_bounds(headers: dict[str, str], told: float | None) -> None:
    assert retry_after_s(headers) == told


def test_when_to_come_back_may_be_a_date() -> None:
    told = retry_after_s({"retry-after": formatdate(time.time() + 60, usegmt=True)})
    assert told == pytest.approx(60, abs=2)
