"""Keys that are none, in headers that are meant to confuse."""

import itertools

import httpx
import pytest

from tests.e2e.running import KEY, Raygate

ADDRESSES = itertools.count(1)
MODELS = "/v1/models"
VALID, WRONG = f"Bearer {KEY}", "Bearer sk-wrong-wrong-wrong-wrong-wrong"


def asked(echo: Raygate, *authorizations: bytes | str, name: str = "authorization") -> httpx.Response:
    """Ask from an address that has not failed before: whoever fails often is answered late."""
    values = [value.encode() if isinstance(value, str) else value for value in authorizations]
    transport = httpx.HTTPTransport(local_address=f"127.0.2.{next(ADDRESSES)}")
    with httpx.Client(base_url=echo.url, transport=transport, timeout=30) as client:
        return client.get(MODELS, headers=[(name.encode(), value) for value in values])


@pytest.mark.parametrize(
    "authorization",
    [
        VALID[:-1],
        VALID[:20],
        VALID + "x",
        VALID.swapcase(),
        f"{VALID}, {VALID}",
        f"Bearer Bearer {KEY}",
        f"Basic {KEY}",
        KEY,
        "Bearer sk-" + "x" * 12_000,
        "Bearer sk-ключ-ключ-ключ-ключ-ключ",
        b"Bearer sk-\xff\xfe\xfd" + b"x" * 30,
        "Bearer sk-' OR '1'='1' -- 0123456789",
        "Bearer sk-${jndi:ldap://x}-0123456789",
    ],
    ids=str.split("cut stub longer case listed twice basic bare huge cyrillic bytes sql lookup"),
)
def test_forged_keys_are_all_refused_in_the_same_words(echo: Raygate, authorization: bytes | str) -> None:
    refused, wrong = asked(echo, authorization), asked(echo, WRONG)
    assert refused.status_code == wrong.status_code == 401
    assert refused.json() == wrong.json()
    assert refused.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("both", [(VALID, WRONG), (WRONG, VALID), (VALID, VALID), (VALID, "")])
def test_of_two_authorization_headers_neither_counts(echo: Raygate, both: tuple[str, str]) -> None:
    assert asked(echo, *both).status_code == 401


@pytest.mark.parametrize("name", ["proxy-authorization", "api-key", "x_api_key", "x-raygate-internal", "cookie"])
def test_a_key_counts_in_its_own_headers_alone(echo: Raygate, name: str) -> None:
    assert asked(echo, VALID, name=name).status_code == 401


def test_the_name_of_the_header_may_be_of_any_case(echo: Raygate) -> None:
    assert asked(echo, VALID, name="AUTHORIZATION").status_code == 200


def test_no_part_of_a_forged_key_is_logged(echo: Raygate) -> None:
    asked(echo, "Bearer sk-canary-5d1c7e-0123456789")
    assert "canary-5d1c7e" not in echo.logs()
