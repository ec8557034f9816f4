"""What the operator has to put right is one line, exit code 2, and nothing that has started."""

import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.running import RAYGATE, environment, free_port, with_run_id

ECHO = "models: [{name: echo, engine: echo}]\n"


@dataclass(frozen=True)
class Refusal:
    """How ``raygate serve`` ended: its exit code, what it said, and what it had begun."""

    code: int
    line: str
    begun: list[str]


Refused = Callable[..., Refusal]


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """Return a function that runs ``raygate serve`` on a configuration which it is to refuse."""

    def run(config: str, port: int | None = None) -> Refusal:
        file, home = tmp_path / "models.yaml", tmp_path / "home"
        file.write_text(config)
        # Whatever it starts would inherit this.
        env = {**environment(home, None), "RAYGATE_RUN_ID": str(tmp_path)}
        command = [str(RAYGATE), "serve", file.name, "--port", str(port or free_port())]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
        begun = [*done.stdout.splitlines(), *map(str, with_run_id(str(tmp_path))), *map(str, home.glob("*"))]
        (line,) = done.stderr.splitlines()
        return Refusal(done.returncode, line, begun)

    return run


def test_a_port_in_use(refused: Refused) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        said = f"cannot listen on 0.0.0.0 port {port}: another program uses it; choose another with --port"
        assert refused(ECHO, port) == Refusal(2, said, [])


def test_a_missing_model_folder(refused: Refused, tmp_path: Path) -> None:
    said = f"model 'mine': there is no folder {tmp_path}/weights"
    assert refused("models: [{name: mine, engine: transformers, source: ./weights}]\n") == Refusal(2, said, [])


def test_a_mistake_in_the_configuration(refused: Refused) -> None:
    refusal = refused("models:\n  - name: echo\n    engine: ecko\n")
    assert (refusal.code, refusal.begun) == (2, [])
    assert refusal.line.startswith("models.yaml:3:5: models[0].engine: got 'ecko'; did you mean echo? ")


def test_too_little_memory(refused: Refused) -> None:
    terabytes = "models: [{name: many, engine: vllm, source: 'embedded:smollm2', replicas: 1024}]\n"
    refusal = refused(terabytes)
    assert (refusal.code, refusal.begun) == (2, [])
    assert refusal.line.startswith("too little memory: ")
    assert refusal.line.endswith("this configuration needs about 3329.5 GiB; run fewer models or replicas")
