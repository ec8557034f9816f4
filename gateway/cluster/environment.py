"""The settings that Ray, HAProxy and the engines read from the environment before they start."""

import os
import secrets
from collections.abc import Collection, Mapping
from pathlib import Path

from gateway.config.settings import Bounds

_DRAIN_S = 1
"""How long a replica that goes away still takes requests: HAProxy and the gateways learn of it within a second."""

_SECRETS = frozenset({"RAYGATE_API_KEY", "RAYGATE_DATABASE_URL"})
"""No process below has use for these: the gateways alone read the database's URL, from a file."""


def cluster_environment(
    inherited: Mapping[str, str],
    *,
    home: Path,
    run: Path,
    ports: Mapping[str, str],
    bounds: Bounds,
    offline: bool,
    providers_keys: Collection[str] = (),
) -> dict[str, str]:
    """Return the environment of the process that runs Ray, and so of everything below it.

    Args:
        inherited: this process's environment; what it sets for Ray Serve, vLLM and the hub wins over our defaults.
        home: the folder of the database, secrets and converted models.
        run: the private folder of this run, with a path short enough for Unix sockets.
        ports: this run's own, by the variables that tell Ray Serve of them.
        bounds: on requests: how large they are, and how long they may take.
        offline: no model comes from the hub, so nobody needs to ask it.
        providers_keys: variables in which engines look for the keys of other servers.
    """
    defaults = {
        **_unless_given(ports, inherited),
        "RAY_USAGE_STATS_ENABLED": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, max(1, (os.cpu_count() or 1) // 2))),
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "1s",
        # A reload, as when a gateway replica comes or goes, must not cut the streams that run through the old process.
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": str(int(bounds.request_timeout_s) + 30),
        "RAY_SERVE_HAPROXY_CLOSE_SPREAD_TIME_S": "1",
        # A protobuf message is parsed before the gateway sees it.
        "RAY_SERVE_GRPC_MAX_MESSAGE_SIZE": str(bounds.max_body_bytes),
        # The gateway has metrics of its own; Ray's would read a log line of every request in Python.
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        # A model that cannot start is told at once; one that has run before is brought back as often as it takes.
        "RAY_SERVE_MAX_PER_REPLICA_RETRY_COUNT": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(_DRAIN_S),
    }
    if "RAY_AUTH_TOKEN_PATH" not in inherited:
        # This run's own: what Ray would draw instead lies in a file that others on the machine can read.
        defaults["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    if offline:
        defaults["HF_HUB_OFFLINE"] = "1"
    folder = run / "ha"  # short, as the names within: a Unix socket's path has 107 bytes, and Ray puts 57 between
    fixed = {
        "RAYGATE_HOME": str(home),
        "RAYGATE_RUN_ID": run.name,
        # Ray's name for "this machine alone": everything talks over the loopback interface. HAProxy alone, once
        # gateway.cluster.haproxy has amended its configuration, listens where clients connect.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        # HAProxy says who has connected; uvicorn would take a client's own word where that is on this machine.
        "FORWARDED_ALLOW_IPS": "",
        # Replicas take pickled calls on a port of every interface, which no setting of Ray Serve narrows.
        "RAY_AUTH_MODE": "token",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(run / "haproxy.sh"),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "log"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
    }
    # A cluster that the operator's shell points to is none of ours.
    withheld = {"RAY_ADDRESS", *_SECRETS} - set(providers_keys)
    return {**defaults, **{name: value for name, value in inherited.items() if name not in withheld}, **fixed}


def _unless_given(ports: Mapping[str, str], inherited: Mapping[str, str]) -> dict[str, str]:
    """Leave all of the replicas' ports to an operator who sets one: half a range of ours would not fit to theirs."""
    direct = {name for name in ports if name.startswith("RAY_SERVE_DIRECT_INGRESS_")}
    left = direct if direct & inherited.keys() else set()
    return {name: port for name, port in ports.items() if name not in left}
