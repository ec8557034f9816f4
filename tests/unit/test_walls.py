"""The house's inner walls: who may import whom, and what no file of ours may hold."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
ROOMS = ("gateway", "engines", "objects", "auth", "doctor")
HEAVY = {"torch", "vllm", "transformers"}
SOURCES = sorted(
    path.relative_to(ROOT)
    for folder in (*ROOMS, "tests", "scripts", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)

PACKAGES = {".".join(path.parent.parts) for path in SOURCES if path.name == "__init__.py"}

MAY_IMPORT = {
    "gateway": r"gateway|auth|objects|doctor|engines\.base",
    "engines": r"engines|objects\.passages",  # the table that `raygate index` fills
    "objects": r"objects|auth",
    "auth": r"auth",
    "doctor": r"doctor",  # it holds any server to the contract, and so knows none
}
"""Who may import whom."""

GATEWAY = """
    app        the deployment: the list of routes, nothing else
    services   what is opened at start, together
    logs       how the process logs
    cli        ways in: the command
    grpc       ways in: protobuf
    routes     ways in: HTTP
    batches    work that outlives its request, line by line
    responses  work that outlives its request: conversations, the background
    request    a request's life, from the key to the ledger
    cluster    processes, HAProxy, what must be there before the start
    indexing   from documents to passages
    routing    which model, which replica
    prompts    how long a prompt is
    endpoints  what can be asked
    answers    bytes on their way back
    http       bodies, exchanges, errors
    config     the YAML, and what a replica is told
    paths      where clients ask, and where engines are asked
"""
"""The gateway's rooms, top to bottom: each imports only those below it."""

FLOOR = {line.split()[0]: number for number, line in enumerate(GATEWAY.strip().splitlines())}

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
            if node.module in PACKAGES:
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


@pytest.mark.parametrize("room", FLOOR)
def test_a_room_of_the_gateway_imports_only_rooms_below_it(room: str) -> None:
    climbs = [
        f"{path}:{line} imports {name}, and {room} lies below {name.split('.')[1]}"
        for path in SOURCES
        if path.parts[0] == "gateway" and path.with_suffix("").parts[1] == room
        for line, name in imports_of(path)
        if name.startswith("gateway.") and FLOOR[name.split(".")[1]] < FLOOR[room]
    ]
    assert climbs == []


def test_every_file_of_the_gateway_lies_in_a_room() -> None:
    rooms = {path.with_suffix("").parts[1] for path in SOURCES if path.parts[0] == "gateway"}
    assert rooms - {"__init__"} == set(FLOOR)


def test_no_files_import_each_other_in_a_circle() -> None:
    files = {".".join(path.with_suffix("").parts): path for path in SOURCES if path.parts[0] in ROOMS}
    imports = {
        file: {name if name in files else name.rpartition(".")[0] for _, name in imports_of(path)} & files.keys()
        for file, path in files.items()
    }
    assert list(TopologicalSorter(imports).static_order())  # graphlib.CycleError names the circle


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_a_room_says_what_it_is_for(package: str) -> None:
    source = ROOT / package.replace(".", "/") / "__init__.py"
    assert ast.get_docstring(ast.parse(source.read_text())) or package.startswith("tests")


def test_heavy_libraries_are_imported_only_in_engines() -> None:
    strays = [
        f"{path}:{line} imports {name}"
        for path in SOURCES
        if path.parts[0] in ROOMS and path.parts[0] != "engines"
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
