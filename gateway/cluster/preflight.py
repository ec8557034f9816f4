"""What can be known to go wrong before anything starts: each is one line for the operator."""

import errno
import importlib.util
import socket
from pathlib import Path

import psutil

from gateway.config.schema import Config, ModelConfig

GIB = 2**30

BASE_MEMORY = 1.25 * GIB
"""What Ray's own processes and this one take, measured on Linux with Ray 2.60."""

REPLICA_MEMORY = {
    "gateway": 0.25 * GIB,
    "vllm": 3.25 * GIB,
    "transformers": 1.4 * GIB,
    "upstream": 0.2 * GIB,
    "pipeline": 0.2 * GIB,
    "echo": 0.2 * GIB,
}
"""What one replica of each kind takes at least, measured with a model of 135 million parameters on CPU."""

PACKAGES = {
    "vllm": ("vllm",),
    "transformers": ("torch", "transformers", "llguidance"),
    "upstream": (),
    "pipeline": (),
    "echo": (),
}
"""The Python packages that an engine needs beyond Raygate's own."""


class OperatorMistake(Exception):
    """Something that the operator has to put right first; the message says what, in one line."""


def check(config: Config, *, host: str, port: int) -> None:
    """Look at what ``raygate serve`` is about to need.

    Raises:
        OperatorMistake: with the first thing that is missing.
    """
    for model in config.models:
        check_packages(model)
        check_folder(model)
    check_port(host, port)
    if grpc_port := config.gateway.grpc_port:
        check_grpc_port(host, grpc_port, port)
    check_memory(config, available_memory())


def check_packages(model: ModelConfig) -> None:
    """See that the engine's packages are installed, without importing them."""
    for package in PACKAGES[model.engine]:
        if importlib.util.find_spec(package) is None:
            extra = f"raygate[{model.engine}]"
            raise OperatorMistake(
                f"model {model.name!r} needs the Python package {package!r}, which is not installed: install {extra}"
            )


def check_folder(model: ModelConfig) -> None:
    """See that a model's local folder is there, and is one of a model."""
    folder = model.folder
    if folder is None:
        return
    if not folder.is_dir():
        raise OperatorMistake(f"model {model.name!r}: there is no folder {folder}")
    if not (folder / "config.json").is_file():
        raise OperatorMistake(f"model {model.name!r}: the folder {folder} has no config.json, so it holds no model")


def check_grpc_port(host: str, grpc_port: int, port: int) -> None:
    """See that gRPC has a port of its own."""
    if grpc_port == port:
        raise OperatorMistake(f"gateway.grpc_port is {port}, where HTTP listens; choose another")
    check_port(host, grpc_port, "gateway.grpc_port")


def check_port(host: str, port: int, setting: str = "--port") -> None:
    """See that nobody else listens where clients are to connect; ``setting`` is what chooses the port."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        reasons = {
            errno.EADDRINUSE: f"another program uses it; choose another with {setting}",
            errno.EACCES: f"only root may use it; choose one above 1023 with {setting}",
            errno.EADDRNOTAVAIL: "this machine has no such address",
        }
        reason = reasons.get(error.errno or 0, error.strerror or str(error))
        raise OperatorMistake(f"cannot listen on {host} port {port}: {reason}") from None


def check_memory(config: Config, available: float) -> None:
    """See that every process that starts at once finds memory.

    Args:
        config: what is to run.
        available: bytes.
    """
    needed = BASE_MEMORY + config.gateway.replicas.min * REPLICA_MEMORY["gateway"]
    needed += sum(model.replicas.min * REPLICA_MEMORY[model.engine] for model in config.models)
    if available < needed:
        raise OperatorMistake(
            f"too little memory: {available / GIB:.1f} GiB are available, and this configuration needs about"
            f" {needed / GIB:.1f} GiB; run fewer models or replicas"
        )


def available_memory(control_group: Path = Path("/sys/fs/cgroup")) -> float:
    """Return the bytes that may still be used: what the machine has, or what its container allows.

    Args:
        control_group: the folder of the process's control group, version 2, as the kernel's documentation has it.
    """
    available = float(psutil.virtual_memory().available)
    try:
        limit = (control_group / "memory.max").read_text().strip()
        used = int((control_group / "memory.current").read_text())
    except (OSError, ValueError):
        return available
    return available if limit == "max" else min(available, int(limit) - used)
