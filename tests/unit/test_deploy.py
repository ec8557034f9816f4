"""The image and the Compose file start what ``make serve`` starts; no container engine is needed to see it."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml
from dockerfile_parse import DockerfileParser

from gateway.config.check import load

ROOT = Path(__file__).resolve().parent.parent.parent
HOME = "/var/lib/raygate"
TARGETS = {"cpu": "configs/quickstart.yaml", "gpu": "configs/gpu.yaml"}


def instructions() -> list[dict[str, Any]]:
    """Return the Dockerfile, parsed, without its comments."""
    parsed = DockerfileParser(str(ROOT / "Dockerfile")).structure
    return [found for found in parsed if found["instruction"] != "COMMENT"]


def stages() -> list[tuple[str, str]]:
    """Return the image and the name of each stage, in order."""
    froms = [found["value"] for found in instructions() if found["instruction"] == "FROM"]
    return [(image, name) for image, _, name in map(str.split, froms)]


def stage_of(target: str) -> list[dict[str, Any]]:
    """Return the instructions that make up a target, those of its base first."""
    built: dict[str, list[dict[str, Any]]] = {}
    for instruction in instructions():
        if instruction["instruction"] == "FROM":
            image, _, name = instruction["value"].split()
            built[name] = list(built.get(image, []))
        built[name].append(instruction)
    return built[target]


def last(target: str, instruction: str) -> str:
    """Return the value of the instruction that counts in a target."""
    return [found["value"] for found in stage_of(target) if found["instruction"] == instruction][-1]


def image_command(target: str) -> list[str]:
    """Return what a container of this target runs."""
    return json.loads(last(target, "ENTRYPOINT")) + json.loads(last(target, "CMD"))


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """Return the Compose file as Compose reads it in an empty environment."""
    text = (ROOT / "docker-compose.yml").read_text()
    return yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    command = [hadolint, "--no-color", ROOT / "Dockerfile"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_the_compose_file_follows_the_compose_specification(compose: dict[str, Any]) -> None:
    parsed = compose_spec.PyCompose.from_json(json.dumps(compose))
    assert sorted(parsed.service_names()) == ["raygate", "raygate-gpu"]


def test_base_images_are_pinned_by_version() -> None:
    names = {name for _, name in stages()}
    outside = [image for image, _ in stages() if image not in names]
    assert outside
    assert [image for image in outside if not re.fullmatch(r"\S+:\d+\.\d+\.\d+\S*", image)] == []


def test_a_plain_build_makes_the_cpu_image() -> None:
    assert stages()[-1] == ("base", "cpu")


@pytest.mark.parametrize("target", TARGETS)
def test_the_image_runs_without_root(target: str) -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last(target, "USER"))


@pytest.mark.parametrize("target", TARGETS)
def test_the_image_is_healthy_when_every_model_is_ready(target: str) -> None:
    command = json.loads(last(target, "HEALTHCHECK").partition("CMD")[2])
    compile(command[2], "healthcheck", "exec")
    assert command[:2] == ["python", "-c"]
    assert "/readyz" in command[2]


@pytest.mark.parametrize("target", TARGETS)
def test_what_the_image_copies_exists_and_is_sent_to_the_builder(target: str) -> None:
    copies = [shlex.split(found["value"])[:-1] for found in stage_of(target) if found["instruction"] == "COPY"]
    sources = [source for copy in copies for source in copy]
    sent = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), flags=re.MULTILINE)
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert [source for source in sources if not {source, source.partition("/")[0]} & set(sent)] == []


@pytest.mark.parametrize("target", TARGETS)
def test_the_image_has_the_configuration_that_it_serves(target: str) -> None:
    assert image_command(target) == ["raygate", "serve", f"/app/{TARGETS[target]}"]
    assert load(ROOT / TARGETS[target]).gateway.port == int(last(target, "EXPOSE"))


def test_make_serve_starts_what_the_image_starts() -> None:
    command = [shutil.which("make"), "-n", "serve"]
    environment = {"PATH": os.environ["PATH"]}
    shown = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    program, *words = shlex.split(shown.stdout.splitlines()[-1].removeprefix("exec "))
    container = image_command("cpu")
    assert Path(program).name == container[0]
    assert words == ["serve", container[2].removeprefix("/app/"), "--port", last("cpu", "EXPOSE")]


@pytest.mark.parametrize(("service", "target"), [("raygate", "cpu"), ("raygate-gpu", "gpu")])
def test_compose_runs_the_image_as_it_is(compose: dict[str, Any], service: str, target: str) -> None:
    found = compose["services"][service]
    assert found["build"]["target"] == target
    assert not {"command", "entrypoint", "user", "healthcheck"} & set(found)
    assert found["ports"] == [f"8000:{last(target, 'EXPOSE')}"]


@pytest.mark.parametrize("service", ["raygate", "raygate-gpu"])
def test_compose_keeps_the_data_and_leaves_time_to_stop(compose: dict[str, Any], service: str) -> None:
    found = compose["services"][service]
    assert found["volumes"] == [f"raygate-home:{HOME}"]
    assert "raygate-home" in compose["volumes"]
    assert (found["init"], found["stop_grace_period"]) == (True, "20s")
    assert found["shm_size"].endswith("gb")
    assert f"RAYGATE_HOME={HOME}" in last("cpu", "ENV")
    assert last("cpu", "VOLUME") == HOME


def test_only_the_gpu_service_asks_for_gpus_and_only_when_asked(compose: dict[str, Any]) -> None:
    on_cpu, on_gpu = compose["services"]["raygate"], compose["services"]["raygate-gpu"]
    (device,) = on_gpu["deploy"]["resources"]["reservations"]["devices"]
    assert "deploy" not in on_cpu
    assert (device["driver"], device["capabilities"], on_gpu["profiles"]) == ("nvidia", ["gpu"], ["gpu"])
