"""Nobody chooses the address by which the slow-down of wrong keys counts them."""

import pytest
from starlette.types import Scope

from gateway.http.client_address import client_address

HAPROXY = "127.0.0.1"
BALANCERS = ["10.0.0.0/8", "2001:db8:1::/48", "192.0.2.9"]


def scope(peer: str | None, *forwarded: str) -> Scope:
    headers = [(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded]
    return {"client": (peer, 50_000) if peer else None, "headers": [(b"host", b"gateway"), *headers]}


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        (HAPROXY, ["198.51.100.2"], "198.51.100.2"),
        ("::1", ["198.51.100.2"], "198.51.100.2"),
        ("::ffff:127.0.0.1", ["198.51.100.2"], "198.51.100.2"),
        (HAPROXY, ["203.0.113.1", "198.51.100.2"], "198.51.100.2"),
        (HAPROXY, ["203.0.113.1, 198.51.100.2"], "198.51.100.2"),
        (HAPROXY, ["203.0.113.1", HAPROXY], HAPROXY),  # a client on this machine has no word in it either
        (HAPROXY, [], HAPROXY),
        ("198.51.100.2", ["203.0.113.1"], "198.51.100.2"),
        (None, [], ""),
        ("", ["203.0.113.1"], ""),
    ],
)
def test_the_address_counts_that_connects(peer: str | None, forwarded: list[str], address: str) -> None:
    assert client_address(scope(peer, *forwarded)) == address


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        (["198.51.100.2", "10.1.1.1"], "198.51.100.2"),
        (["203.0.113.1, 198.51.100.2", "10.1.1.1"], "198.51.100.2"),  # the first is the client's own invention
        (["198.51.100.2, 192.0.2.9, 2001:db8:1::5", "10.1.1.1"], "198.51.100.2"),
        (["10.9.9.9", "10.1.1.1"], "10.9.9.9"),  # all of them are trusted: the farthest
        (["10.1.1.1"], "10.1.1.1"),
        (["198.51.100.2:4711", "10.1.1.1"], "198.51.100.2"),
        (["[2001:db8:9::1]:4711", "10.1.1.1"], "2001:db8:9::1"),
        (["2001:db8:9::1", "::ffff:10.1.1.1"], "2001:db8:9::1"),
        (["198.51.100.2", "203.0.113.1"], "203.0.113.1"),  # who connects is no proxy of ours
        (["unknown", "10.1.1.1"], "unknown"),
        (["x" * 10_000, "10.1.1.1"], "x" * 64),
    ],
)
def test_a_trusted_proxys_word_is_taken_for_its_client(forwarded: list[str], address: str) -> None:
    assert client_address(scope(HAPROXY, *forwarded), BALANCERS) == address


def test_a_trusted_proxy_may_connect_to_the_gateway_itself() -> None:
    assert client_address(scope("10.1.1.1", "203.0.113.1, 198.51.100.2"), BALANCERS) == "198.51.100.2"
