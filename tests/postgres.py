"""A real, private PostgreSQL server for tests, started from the binaries that are installed."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class PostgresServer:
    """A private server: ``bin`` holds its programs, ``data`` its files."""

    bin: Path
    data: Path
    port: int

    def run(self, program: str, *args: str) -> None:
        """Run one of the server's programs as the user that owns its files; root may not run a server."""
        owner = self.data.parent.stat().st_uid
        as_owner = {"user": owner, "group": pwd.getpwuid(owner).pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        command = [str(self.bin / program), *args]
        log = self.data.parent / "programs.log"
        with log.open("ab") as output:
            subprocess.run(command, check=True, stdout=output, stderr=output, cwd="/", timeout=60, **as_owner)

    def start(self) -> None:
        options = f"-p {self.port} -k {self.data} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=200"
        self.run(
            "pg_ctl", "-D", str(self.data), "-w", "-l", str(self.data.parent / "server.log"), "-o", options, "start"
        )

    def stop(self) -> None:
        self.run("pg_ctl", "-D", str(self.data), "-w", "-m", "immediate", "stop")

    def empty_database(self) -> str:
        """Make the server's one database empty; return its URL."""
        empty = "DROP SCHEMA public CASCADE; CREATE SCHEMA public"
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "raygate", "-d", "postgres"]
        self.run("psql", *address, "-q", "-c", "SET lock_timeout = '5s'", "-c", empty)
        return self.url

    @property
    def url(self) -> str:
        return f"postgresql://raygate@127.0.0.1:{self.port}/postgres"


def _find_binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    on_path = shutil.which("initdb")
    return found[0].parent if found else Path(on_path).resolve().parent if on_path else None


def _unprivileged_user() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _new_server(binaries: Path, folder: Path) -> PostgresServer:
    if os.geteuid() == 0:
        shutil.chown(folder, _unprivileged_user())
    server = PostgresServer(bin=binaries, data=folder / "data", port=_free_port())
    server.run("initdb", "-D", str(server.data), "-U", "raygate", "-A", "trust", "--no-sync", "-E", "UTF8")
    return server


@contextlib.contextmanager
def running_server() -> Iterator[PostgresServer]:
    binaries = _find_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL's binaries are not installed (Debian: apt-get install postgresql)")
    with tempfile.TemporaryDirectory(prefix="raygate-pg-") as folder:
        server = _new_server(binaries, Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()
