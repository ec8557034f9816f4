"""Whoever tries keys is slowed down; whoever has one is not, from wherever it comes."""

import time

import httpx
import pytest

from tests.e2e.running import KEY, Raygate

ATTEMPTS = 40


def attempt(client: httpx.Client, key: str) -> tuple[int, float]:
    started = time.monotonic()
    status = client.get("/v1/models", headers={"authorization": f"Bearer {key}"}).status_code
    return status, time.monotonic() - started


def client_from(address: str, echo: Raygate) -> httpx.Client:
    return httpx.Client(base_url=echo.url, transport=httpx.HTTPTransport(local_address=address), timeout=30)


@pytest.fixture
def attacker(echo: Raygate) -> httpx.Client:
    """A client whose address has shown many wrong keys, claiming another address each time."""
    client = client_from("127.0.0.66", echo)
    for number in range(ATTEMPTS):
        client.headers["x-forwarded-for"] = f"203.0.113.{number}"
        attempt(client, f"sk-wrong-{number:020}")
    return client


def test_wrong_keys_are_answered_ever_later_and_the_right_one_at_once(echo: Raygate, attacker: httpx.Client) -> None:
    status, waited_s = attempt(attacker, "sk-wrong-0123456789abcdef")
    assert (status, waited_s > 0.5) == (401, True)
    assert attempt(attacker, KEY)[0] == 200
    assert attempt(attacker, KEY)[1] < 0.5
    with client_from("127.0.0.77", echo) as neighbour:
        status, waited_s = attempt(neighbour, "sk-wrong-0123456789abcdef")
        assert (status, waited_s < 0.5) == (401, True)


def test_clients_of_a_trusted_proxy_are_slowed_down_one_by_one(echo: Raygate) -> None:
    with client_from("127.0.0.88", echo) as proxy:
        for number in range(ATTEMPTS):
            proxy.headers["x-forwarded-for"] = f"203.0.113.{number}, 198.51.100.7"
            attempt(proxy, f"sk-wrong-{number:020}")
        assert attempt(proxy, "sk-wrong-0123456789abcdef")[1] > 0.5
        proxy.headers["x-forwarded-for"] = "203.0.113.1, 198.51.100.8"
        assert attempt(proxy, "sk-wrong-0123456789abcdef")[1] < 0.5
