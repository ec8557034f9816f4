"""Slows down whoever shows one wrong key after another.

Only the refusal waits: a valid key is served at once, from whatever address, so nobody can lock anybody out.
"""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

FREE_FAILURES = 3
"""A mistyped key is refused at once."""

STEP_S = 0.05
MAX_DELAY_S = 1.0
HALF_LIFE_S = 30.0
"""After so long without another failure, half of them are forgotten."""

MAX_ADDRESSES = 10_000
"""Those that failed longest ago are forgotten first."""

_IPV6_CUSTOMER = 64
"""Bits of an address; whoever has one IPv6 address mostly has all that share these."""


class Slowdown:
    """Counts failures by client address."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def failed(self, address: str) -> float:
        """Note a failure; return after how many seconds it may be answered."""
        now, origin = self._clock(), _origin(address)
        count, counted_at = self._failures.pop(origin, (0.0, now))
        count = count * math.pow(0.5, (now - counted_at) / HALF_LIFE_S) + 1
        self._failures[origin] = count, now
        if len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)
        return min(MAX_DELAY_S, STEP_S * max(0.0, count - FREE_FAILURES))


def _origin(address: str) -> str:
    """Return what stands for everybody who is probably the same client."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4 or parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped if parsed.version == 6 else parsed)
    return str(ipaddress.ip_network((parsed, _IPV6_CUSTOMER), strict=False))
