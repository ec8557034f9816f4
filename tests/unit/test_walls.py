"""The house's inner walls: who may import whom, and what no file of ours may hold."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
ROOMS = {"gateway", "engines", "auth", "objects"}
HEAVY = {"torch", "vllm", "transformers"}
SOURCES = sorted(
    path.relative_to(ROOT)
    for folder in (*ROOMS, "tests", "scripts", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)

MAY_IMPORT = {
    "gateway": r"gateway|auth|objects|engines\.base",
    "engines": r"engines|objects\.passages",  # the table that `raygate index` fills
    "auth": r"auth",
    "objects": r"objects|auth",
}

FORBIDDEN_TEXT = {
    "a path of one machine": r"(?<![\w.])/(wor[k]|opt/(wheel[s]|pyp[i]))(/|\b)",
    "a registry's host": r"pypi\.org|pythonhosted\.org|npmjs\.(org|com)|deb\.debian\.org|download\.pytorch\.org",
}


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the full name of each import, wherever in the file it stands."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports by full name only"
            # `from engines import base` is an import of engines.base, as `from engines.base import x` is.
            if node.module in ROOMS:
                yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module


def tracked_files() -> list[Path]:
    """Return the files in git that are text."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no git here")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:1024]]


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_imports_only_what_it_may(room: str) -> None:
    allowed = re.compile(rf"({MAY_IMPORT[room]})(\..*)?")
    crossings = [
        f"{path}:{line} imports {name}"
        for path in SOURCES
        if path.parts[0] == room
        for line, name in imports_of(path)
        if name.partition(".")[0] in ROOMS and not allowed.fullmatch(name)
    ]
    assert crossings == []


def test_heavy_libraries_are_imported_only_in_engines() -> None:
    strays = [
        f"{path}:{line} imports {name}"
        for path in SOURCES
        if path.parts[0] in {"gateway", "auth", "objects"}
        for line, name in imports_of(path)
        if name.partition(".")[0] in HEAVY
    ]
    assert strays == []


@pytest.mark.parametrize("module", ["gateway.app", "engines.base", "auth"])
def test_a_process_that_imports_the_gateway_holds_no_heavy_library(module: str) -> None:
    program = f"import {module}, sys; print(*sorted({HEAVY!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_a_file_has_at_most_300_lines(path: Path) -> None:
    assert len((ROOT / path).read_text().splitlines()) <= 300


def test_no_file_is_named_utils() -> None:
    assert [path for path in SOURCES if path.stem in {"util", "utils", "helpers", "misc", "common"}] == []


@pytest.mark.parametrize("what", sorted(FORBIDDEN_TEXT))
def test_nothing_in_git_names(what: str) -> None:
    pattern = re.compile(FORBIDDEN_TEXT[what])
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []
