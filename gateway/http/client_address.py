"""Where a client is: what has connected, and whom proxies speak for that the operator trusts.

HAProxy stands before every gateway on the same machine, and writes who has connected to it into a last
``X-Forwarded-For``. What stands before that was written by whoever connected, and may be made up: it is believed only
as far as each writer is one of ``gateway.trusted_proxies``.
"""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from starlette.types import Scope

_LONGEST = 64
"""Characters: an address has 45 at most, and what is none is told apart by as many."""


def client_address(scope: Scope, trusted: Sequence[str] = ()) -> str:
    """Return the address of the client that made a request; empty where nobody knows.

    Args:
        scope: of the request, as the server has it.
        trusted: the networks of proxies whose word for their own clients is taken.
    """
    client = scope.get("client")
    address = client[0] if client else ""
    hops = list(_forwarded(scope))
    parsed = _parsed(address)
    if hops and parsed and parsed.is_loopback:
        address = hops.pop()
    while hops and _is_within(address, trusted):
        address = hops.pop()
    return address


def _forwarded(scope: Scope) -> Iterator[str]:
    """Yield who is said to have connected, the first hop first."""
    for name, value in scope["headers"]:
        if name == b"x-forwarded-for":
            yield from (_bare(hop.strip()) for hop in value.decode("latin-1").split(","))


def _bare(hop: str) -> str:
    """Take the port away that some proxies write: ``192.0.2.1:443``, ``[2001:db8::1]:443``."""
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    return hop[:_LONGEST]


def _is_within(address: str, networks: Sequence[str]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in ip_network(network) for network in networks)


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    return parsed.ipv4_mapped or parsed if parsed.version == 6 else parsed
