"""Every command in the documentation, run as it stands, with the output that the documentation promises."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.pages import Block, blocks_of, run, stable
from tests.e2e.running import REPOSITORY, Raygate

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
BLOCKS = [block for page in PAGES for block in blocks_of(page)]

ELSEWHERE = {
    # They run for minutes or for ever; the fixture is what `make serve` ends in (test_deploy.py compares the two).
    "make serve": "tests/e2e/running.py",
    "make test": "this run",
    "make bench": "benchmarks/run.py",
    "make serve CONFIG=configs/gpu.yaml": "tests/unit/test_configs.py",
    # No container engine is at hand: the files are checked, and the image's command is what the fixture runs.
    "docker compose": "tests/unit/test_deploy.py",
    # It would replace what runs here; that Serve accepts the file is tested without deploying it.
    "serve deploy": "tests/unit/test_configs.py",
    # A second cluster: the engine is asked through its app.
    "serve run parrot.yaml": "tests/unit/test_docs.py",
    # There is no pipeline here, nor a folder of notes.
    "raygate index": "tests/e2e/pipelines",
    "raygate chat -m docs": "tests/e2e/pipelines",
    # There is no cluster.yaml, nor its PostgreSQL; the command's other forms run here.
    "raygate keys create alice --config cluster.yaml": "tests/unit/auth/test_store.py",
}
"""How a line begins that is not run here, and what covers it."""

CLIENTS = {"curl", "openai for Python", "LangChain", "anthropic"}
"""The sections of docs/clients.md that run here; tests/clients runs them all, with more models and packages."""

MORE = ("minilm", "langchain.agents")
"""What blocks of these sections ask for that is not here."""


def runnable(block: Block) -> bool:
    if block.page == "clients.md":
        return block.heading in CLIENTS and not any(word in block.source for word in MORE)
    return not block.source.startswith(tuple(ELSEWHERE)) and not defines_an_engine(block)


def defines_an_engine(block: Block) -> bool:
    """Say whether the block is a file rather than a program: tests/unit/test_docs.py imports and asks it."""
    return "(Engine):" in block.source


def here(block: Block, quickstart: Raygate) -> Block:
    """Return a block without the lines that are covered elsewhere."""
    lines = block.source.replace("localhost:9000", quickstart.grpc_address).splitlines()
    return replace(block, source="\n".join(line for line in lines if not line.startswith(tuple(ELSEWHERE))))


def run_here(block: Block, quickstart: Raygate) -> subprocess.CompletedProcess[str]:
    python = Path(sys.executable)
    interpreter = ["bash", "-ec"] if block.language == "bash" else [str(python), "-c"]
    return run(here(block, quickstart), interpreter, python.parent, quickstart)


@pytest.mark.parametrize("block", [each for each in BLOCKS if runnable(each)], ids=str)
def test_a_block_does_what_it_says(quickstart: Raygate, block: Block) -> None:
    ran = run_here(block, quickstart)
    assert ran.returncode == 0, ran.stdout
    if block.output is not None:
        assert stable(ran.stdout) == stable(block.output)


@pytest.mark.parametrize("begins", ELSEWHERE)
def test_each_exception_is_needed(begins: str) -> None:
    assert any(line.startswith(begins) for block in BLOCKS for line in block.source.splitlines())


def test_the_start_looks_as_the_readme_shows_it(quickstart: Raygate) -> None:
    shown = re.search(r"```text\n(database: .*?)^```$", (REPOSITORY / "README.md").read_text(), re.DOTALL | re.M)
    assert shown is not None
    said = quickstart.output.read_text()
    for line in shown[1].splitlines():
        # The fixture chose the first key, which is then not shown; times, details and the port are the machine's.
        state = re.match(r"\S+: (running|starting|done|ready)", line)
        words = state[0] if state else line.partition("sk-")[0].partition(":8000")[0].strip()
        assert words.startswith("API key") or words in said


EXAMPLES = re.findall(r"^\| `raygate [^|]*\| [^|]* \| `(raygate [^`]+)` \|$", PAGES[0].read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    "example", [each for each in EXAMPLES if not each.startswith(("raygate serve", "raygate index"))]
)
def test_an_example_of_the_command_line_works(quickstart: Raygate, example: str) -> None:
    block = Block("README.md", "", 0, "bash", example, None)
    ran = run_here(block, quickstart)
    # The key named alice comes and goes with the examples; which is there depends on what ran before.
    assert ran.returncode == 0 or "alice" in ran.stdout, ran.stdout
    assert "Traceback" not in ran.stdout
