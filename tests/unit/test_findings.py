"""The scripts in ``findings/``: listed, pinned, and without our code. No test runs one: they install from an index."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPTS = sorted((ROOT / "findings").glob("*.sh"))
NAMES = [script.stem for script in SCRIPTS]


def test_the_table_has_each_finding_once() -> None:
    table = (ROOT / "findings" / "README.md").read_text()
    assert re.findall(r"^\| \[([\w-]+)\]\(\1\.sh\) \|", table, re.M) == NAMES


@pytest.mark.parametrize("script", SCRIPTS, ids=NAMES)
def test_a_finding_can_be_run_by_its_name(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0


@pytest.mark.parametrize("script", SCRIPTS, ids=NAMES)
def test_a_finding_pins_what_it_installs_and_names_no_index(script: Path) -> None:
    (packages,) = re.findall(r"^venv/bin/pip install -q (.+)$", script.read_text(), re.M)
    assert [package for package in packages.split() if not re.fullmatch(r'"?[\w.\[\]-]+==[\w.]+"?', package)] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=NAMES)
def test_a_finding_runs_without_our_code(script: Path) -> None:
    ours = r"^\s*(from|import) (gateway|engines|objects|auth|doctor)\b"
    assert re.search(ours, script.read_text(), re.M) is None


@pytest.mark.parametrize("script", SCRIPTS, ids=NAMES)
def test_a_finding_is_bounded_in_time_and_leaves_nothing(script: Path) -> None:
    text = script.read_text()
    assert "set -eu\n" in text
    assert "trap 'rm -rf \"$room\"' EXIT\n" in text
    assert re.search(r"^timeout \d{2,3} venv/bin/python", text, re.M)


@pytest.mark.parametrize("file", ["Makefile", ".ci/run", ".dockerignore"])
def test_nothing_that_ci_runs_names_the_findings(file: str) -> None:
    assert "findings" not in (ROOT / file).read_text()
