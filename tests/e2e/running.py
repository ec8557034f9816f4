"""A real Raygate, started as a user would start it."""

import contextlib
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from filelock import FileLock

from tests.e2e.waiting import within

REPOSITORY = Path(__file__).parents[2]
RAYGATE = Path(sys.executable).with_name("raygate")
KEY = "sk-test-0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
READY_S = 600


@dataclass(frozen=True)
class Raygate:
    """A running ``raygate serve``."""

    process: subprocess.Popen[bytes]
    port: int
    home: Path
    output: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def grpc_address(self) -> str:
        """Where gRPC clients connect, as the greeting says it."""
        self.await_output("Ctrl-C stops it.")
        said = re.search(r"^gRPC +(\S+)$", self.output.read_text(), re.MULTILINE)
        assert said is not None, "gateway.grpc_port is not set"
        return said[1]

    def client(self, key: str | None = KEY, timeout_s: float = 120) -> httpx.Client:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=timeout_s)

    def raygate(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the CLI against this instance."""
        env = {**os.environ, "RAYGATE_HOME": str(self.home), "RAYGATE_BASE_URL": self.url, "RAYGATE_API_KEY": KEY}
        command = [str(RAYGATE), *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)

    @property
    def run_id(self) -> str:
        """What everything that this instance started carries in its environment."""
        return _run_id(self.process.pid)

    def processes(self, *words: str) -> list[psutil.Process]:
        """Return this instance's processes whose command line or title holds all the words."""
        return [
            process
            for process in with_run_id(self.run_id)
            if all(word in " ".join(process.cmdline()) for word in words)
        ]

    def await_output(self, words: str, timeout_s: float = READY_S) -> None:
        """Wait until it has said the words; fail with what it said instead when it ends before."""
        deadline = time.monotonic() + timeout_s
        while words not in self.output.read_text():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"raygate did not say {words!r}:\n{self.output.read_text()}")
            time.sleep(0.1)

    def await_key(self, secret: str) -> None:
        """Wait until every gateway replica knows a key; HAProxy gives each connection to the next of them."""

        def is_known() -> bool:
            return httpx.get(f"{self.openai_url}/models", headers={"authorization": f"Bearer {secret}"}).is_success

        assert within(5, lambda: all(is_known() for _ in range(8)))

    def ledger_row(self, request_id: str) -> sqlite3.Row:
        """Return the ledger's row of a request that is over, once it is written."""
        with contextlib.closing(sqlite3.connect(self.home / "raygate.db")) as database:
            database.row_factory = sqlite3.Row
            rows: list[sqlite3.Row] = []
            query = "SELECT * FROM requests WHERE request_id = ?"
            assert within(5, lambda: bool(rows.extend(database.execute(query, [request_id])) or rows))
        (row,) = rows
        return row

    def stop(self, number: signal.Signals = signal.SIGTERM) -> "Ended":
        """Ask it to end, and return how it did."""
        run_id, begun = self.run_id, time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        took_s = time.monotonic() - begun
        return Ended(code, took_s, [" ".join(process.cmdline()) for process in with_run_id(run_id)])

    def logs(self) -> str:
        """Return everything that any of its processes has logged so far."""
        files = [path for path in self.home.rglob("*") if path.suffix in {".log", ".out", ".err"} and path.is_file()]
        return "\n".join(path.read_text(errors="replace") for path in files)


@dataclass(frozen=True)
class Ended:
    """How an instance ended: its exit code, how long it took, and the processes that it left behind."""

    code: int
    took_s: float
    left: list[str]


def free_port() -> int:
    """Return a port that nobody listens on, of those that the kernel gives to no connection and nobody else draws."""
    while not _is_free(port := _undrawn.pop()):
        pass
    return port


# Between the ports of Ray Serve's replicas and those of the kernel, shuffled: tests may run in several processes.
_undrawn = random.sample(range(31_001, 32_768), 32_768 - 31_001)


def _is_free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind(("", port))
        return True
    return False


def direct_ports(replica: psutil.Process) -> set[int]:
    """Return the ports of its own on which a replica takes HTTP requests."""
    settings = replica.environ()
    lowest = int(settings.get("RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT", 30_000))
    highest = int(settings.get("RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT", 31_000))
    listening = {each.laddr.port for each in replica.net_connections("tcp") if each.status == psutil.CONN_LISTEN}
    return listening & set(range(lowest, highest + 1))


@contextlib.contextmanager
def raygate(
    config: Path,
    home: Path,
    *,
    ready: bool = True,
    key: str | None = KEY,
    wrapper: Sequence[str] = (),
    port: int | None = None,
) -> Iterator[Raygate]:
    """Start ``raygate serve``, and stop it again as Ctrl-C in a service manager would.

    Args:
        config: what to run.
        home: its RAYGATE_HOME; what it prints lies beside it.
        ready: wait until every model is ready, and not only for the cluster.
        key: what the first key is to be; ``None`` lets it draw one.
        wrapper: a command that becomes the one behind it.
        port: where it listens; by default a free one.
    """
    port = port or free_port()
    output = home.with_name(f"{home.name}-output.txt")
    home.mkdir(parents=True, exist_ok=True)
    starting = start_lock()
    starting.acquire()
    with output.open("wb") as sink:
        process = subprocess.Popen(
            [*wrapper, str(RAYGATE), "serve", str(config), "--port", str(port)],
            env=environment(home, key),
            stdout=sink,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
            start_new_session=True,
        )
    running = Raygate(process, port, home, output)
    try:
        if ready:
            await_ready(running)
        else:
            running.await_output("cluster: ready")
        starting.release()
        yield running
    finally:
        starting.release()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def start_lock() -> FileLock:
    """Return what whoever starts a cluster holds: Ray gives a node 30 s to begin, however busy the machine is."""
    return FileLock(Path(tempfile.gettempdir()) / "raygate-tests-start.lock")


def environment(home: Path, key: str | None) -> dict[str, str]:
    """Return this process's environment for an instance with that home."""
    others = {name: value for name, value in os.environ.items() if name != "RAYGATE_API_KEY"}
    return {**others, "RAYGATE_HOME": str(home), **({"RAYGATE_API_KEY": key} if key else {})}


def await_ready(running: Raygate, timeout_s: float = READY_S) -> None:
    """Wait until every model is ready; fail with the program's own words when it ends before."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if running.process.poll() is not None:
            raise AssertionError(f"raygate ended:\n{running.output.read_text()}")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{running.url}/readyz", timeout=5).status_code == 200:
                return
        time.sleep(0.2)
    raise AssertionError(f"not ready after {timeout_s} s:\n{running.output.read_text()}")


def _run_id(parent: int) -> str:
    for child in psutil.Process(parent).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if run_id := child.environ().get("RAYGATE_RUN_ID"):
                return run_id
    raise AssertionError("raygate has no children that carry its run id")


def with_run_id(run_id: str) -> list[psutil.Process]:
    """Return the living processes of one run."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("RAYGATE_RUN_ID") == run_id:
                found.append(process)
    return found
