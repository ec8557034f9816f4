"""What a container of the image runs, as a process: its exact command, environment and health check."""

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.lifecycle import offline
from tests.e2e.running import KEY, REPOSITORY, Raygate
from tests.unit.test_deploy import HOME, image_command, last


@dataclass(frozen=True)
class Container:
    """The image's command as a process, in a network namespace that stands for a container's."""

    running: Raygate
    environment: dict[str, str]

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as the container engine does for health checks."""
        inside = [*offline.beside(self.running.process.pid), *command]
        return subprocess.run(inside, env=self.environment, capture_output=True, text=True, timeout=60, check=False)

    def is_healthy(self) -> bool:
        return self.run(json.loads(last("cpu", "HEALTHCHECK").partition("CMD")[2])).returncode == 0


def placed(text: str, home: Path) -> str:
    """Return a word of the Dockerfile with this machine's folders in place of the image's."""
    return text.replace("/app", str(REPOSITORY)).replace(HOME, str(home)).replace("$PATH", os.environ["PATH"])


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory, model_cache: Path, namespaces: None) -> Iterator[Container]:
    home = tmp_path_factory.mktemp("image")
    (home / "models").symlink_to(model_cache)  # the volume of a container that has run before
    settings = dict(placed(word, home).split("=", 1) for word in shlex.split(last("cpu", "ENV")))
    environment = {**os.environ, **settings, "RAYGATE_API_KEY": KEY}
    program, *words = (placed(word, home) for word in image_command("cpu"))
    command = [*offline.OFFLINE, str(shutil.which(program, path=settings["PATH"])), *words]
    output = home.with_name("image-output.txt")
    with output.open("wb") as sink:
        process = subprocess.Popen(command, env=environment, stdout=sink, stderr=sink, cwd=REPOSITORY)
    try:
        yield Container(Raygate(process, 8000, home, output), environment)
    finally:
        process.terminate()
        process.wait(timeout=60)


def test_the_image_becomes_healthy_answers_and_stops_when_told(container: Container) -> None:
    assert not container.is_healthy()
    container.running.await_output("Ctrl-C stops it.")
    assert container.is_healthy(), container.running.output.read_text()
    question = ["raygate", "chat", "-m", "smollm2", "What is the capital of France?"]
    assert "Paris" in container.run(question).stdout
    ended = container.running.stop()
    assert (ended.code, ended.left) == (0, [])
    assert ended.took_s < 15
