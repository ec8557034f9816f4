"""The servers that are compared, each a process of its own with all that belongs to it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import yaml

from engines.base import TOKEN_HEADER, default_home, internal_token
from tests.e2e.running import KEY, REPOSITORY, Raygate, direct_ports, free_port, raygate

CHAT = "/v1/chat/completions"
START_S = 120

_PARTS = {"haproxy": "bin/haproxy", "gateway": "gateway:gateway", "engine": ":engine"}
"""Of Raygate's path, as ``Server.parts``."""


@dataclass(frozen=True)
class Server:
    """The way into one of the paths, and the processes that carry it.

    Attributes:
        url: where requests go.
        headers: what each request needs.
        root: the process from which all of the path's processes descend.
        parts: by part of the path, a word in the command line or title of the part's processes.
    """

    url: str
    headers: dict[str, str]
    root: psutil.Process
    parts: dict[str, str]

    def cpu_s(self) -> dict[str, float]:
        """Return the CPU time, user and system, that each part of the path has had so far."""
        spent = dict.fromkeys(self.parts, 0.0)
        for process in [self.root, *self.root.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                line = " ".join(process.cmdline())
                for part in (part for part, word in self.parts.items() if word in line):
                    times = process.cpu_times()
                    spent[part] += times.user + times.system
        return spent


@contextlib.contextmanager
def engine_alone() -> Iterator[Server]:
    """Run the echo engine's app under uvicorn."""
    port = free_port()
    with _running([sys.executable, "-m", "benchmarks.alone", str(port)], dict(os.environ), Path(os.devnull)) as process:
        server = Server(f"http://127.0.0.1:{port}{CHAT}", {}, process, {"engine": "benchmarks.alone"})
        _await_answer(server)
        yield server


@contextlib.contextmanager
def ordinary_path() -> Iterator[Server]:
    """Run Ray Serve as it is, in a cluster of its own."""
    port = free_port()
    with _private_folder() as folder:
        config = folder / "serve.yaml"
        application = {"name": "gateway", "route_prefix": "/", "import_path": "benchmarks.ordinary:build", "args": {}}
        options = {"host": "127.0.0.1", "port": port}
        config.write_text(yaml.safe_dump({"http_options": options, "applications": [application]}))
        command = [sys.executable, "-m", "gateway.cluster", str(config), str(os.cpu_count())]
        command += [str(folder / "ray"), str(os.getpid())]
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "RAYGATE_"))}
        environment = {**plain, "PYTHONPATH": str(REPOSITORY), "RAY_USAGE_STATS_ENABLED": "0"}
        parts = {"proxy": "ProxyActor", "ingress": "gateway:ingress", "engine": "gateway:engine"}
        with _running(command, environment, folder / "serve.log") as process:
            server = Server(f"http://127.0.0.1:{port}{CHAT}", {}, process, parts)
            _await_answer(server)
            yield server


@contextlib.contextmanager
def through_raygate(config: Path) -> Iterator[tuple[Server, Raygate]]:
    """Run ``raygate serve`` on a configuration of this folder, with the models that this machine has converted."""
    with _private_folder() as folder:
        home = folder / "home"
        home.mkdir()
        models = default_home() / "models"
        models.mkdir(parents=True, exist_ok=True)
        (home / "models").symlink_to(models)
        parts = {**_PARTS, "model": "VLLM::EngineCore"}
        with raygate(config, home) as running:
            root = psutil.Process(running.process.pid)
            headers = {"authorization": f"Bearer {KEY}"}
            yield Server(running.url + CHAT, headers, root, parts), running


@contextlib.contextmanager
def ungoverned_path() -> Iterator[Server]:
    """Run Raygate without keys, limits and ledger."""
    port = free_port()
    with _private_folder() as folder:
        command = [sys.executable, "-m", "benchmarks.ungoverned", str(port), str(folder / "home")]
        with _running(command, dict(os.environ), folder / "serve.log") as process:
            server = Server(f"http://127.0.0.1:{port}{CHAT}", {}, process, _PARTS)
            _await_answer(server)
            yield server


def direct_to_engine(server: Server, running: Raygate) -> Server:
    """Return the way to the engine replica's own port, past HAProxy and the gateway."""
    headers = {TOKEN_HEADER.decode(): internal_token(running.home)}
    for replica in running.processes(server.parts["engine"]):
        for port in direct_ports(replica):
            return Server(f"http://127.0.0.1:{port}{CHAT}", headers, server.root, server.parts)
    raise RuntimeError("no engine replica listens on a port of its own")


@contextlib.contextmanager
def _running(command: list[str], environment: dict[str, str], log: Path) -> Iterator[psutil.Process]:
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, env=environment, cwd=REPOSITORY, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    """Yield a folder whose path is short: Unix sockets below it have 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _await_answer(server: Server) -> None:
    deadline = time.monotonic() + START_S
    chat = {"model": "echo", "messages": [{"role": "user", "content": "ready?"}], "max_tokens": 1}
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.post(server.url, json=chat, headers=server.headers, timeout=5).status_code == 200:
                return
        if not server.root.is_running() or server.root.status() == psutil.STATUS_ZOMBIE:
            raise RuntimeError(f"the server of {server.url} ended while it started")
        time.sleep(0.2)
    raise RuntimeError(f"no answer within {START_S} s")
