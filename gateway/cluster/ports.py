"""Ports of a run's own, so that two Raygates on one machine never meet.

Left to itself each Ray Serve takes the lowest free ports of one range, so the replica of another run may come to listen
where one of ours has just died, and is then asked for what it does not have.
"""

import socket
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from gateway.cluster.preflight import OperatorMistake

NAMED = (
    "RAY_SERVE_HAPROXY_METRICS_PORT",
    "RAY_SERVE_HAPROXY_STATS_PORT",
    "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT",
    "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT",
)

BLOCK = 100
"""Ports of each kind for a run. One with more replicas goes on into the next block, and passes over what is taken."""

# Below what Linux gives out by itself (32768), and beside what Ray Serve takes by default (30000 and 40000).
_HTTP = range(23_000, 26_000)
_GRPC = range(26_000, 29_000)


@dataclass(frozen=True)
class Ports:
    """A block of ports, held until ``release``, or until this process ends in whatever way.

    Attributes:
        settings: what Ray Serve is told of them, by environment variable.
    """

    settings: Mapping[str, str]
    _hold: socket.socket

    def release(self) -> None:
        """Let another run have the block."""
        self._hold.close()


def claim(clients: Collection[int]) -> Ports:
    """Hold the first block that no other run holds, and in which HAProxy finds its ports free.

    Args:
        clients: where clients are going to connect.

    Raises:
        OperatorMistake: there is no such block.
    """
    for http, grpc in zip(_HTTP[::BLOCK], _GRPC[::BLOCK], strict=True):
        if any(port in range(start, start + BLOCK) for port in clients for start in (http, grpc)):
            continue
        named = range(http + 1, http + 1 + len(NAMED))
        hold = socket.socket()
        try:
            hold.bind(("127.0.0.1", http))  # bound, and never listening: who connects is refused
            _try(named)
        except OSError:
            hold.close()
            continue
        direct = {
            "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": named.stop,
            "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": _HTTP.stop - 1,
            "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": grpc,
            "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": _GRPC.stop - 1,
        }
        settings = {**dict(zip(NAMED, named, strict=True)), **direct}
        return Ports({name: str(port) for name, port in settings.items()}, hold)
    raise OperatorMistake(f"no {BLOCK} ports in a row are free from {_HTTP.start} to {_HTTP.stop - 1}")


def _try(ports: Sequence[int]) -> None:
    """Raise an OSError when somebody listens on one of the ports."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as HAProxy, which minds no old connections
            probe.bind(("", port))
