"""Every command in the documentation, run as it stands, with the output that the documentation promises."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.running import KEY, REPOSITORY, Raygate

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]

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
    # There is no cluster.yaml, nor its PostgreSQL; the command's other forms run here.
    "raygate keys create alice --config cluster.yaml": "tests/unit/auth/test_store.py",
}
"""How a line begins that is not run here, and what covers it."""

VOLATILE = [
    (r"\bsk-[\w-]+", "SECRET"),
    (r"\bkey_[0-9a-f]+", "KEY"),
    (r"\bchatcmpl-[\w-]+", "ID"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)", "TIME"),
    (r'"created":\d+', "CREATED"),
    (r'"system_fingerprint":"[^"]*"', "FINGERPRINT"),
    (r'"(cached_tokens|cache_write_tokens)":\d+', r"\1"),  # the same prompt may have been asked before
    (r'engine_replica="\w+"', "REPLICA"),
    (r" +$", ""),
]
"""What differs from run to run."""


@dataclass(frozen=True)
class Block:
    """A fenced block, and the block of output that follows it, if one does."""

    page: str
    line: int
    language: str
    source: str
    output: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text()
        fence = r"^```(bash|python)\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?"
        for match in re.finditer(fence, text, re.DOTALL | re.MULTILINE):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(page.name, line, match[1], match[2], match[3]))
    return found


def runnable(block: Block) -> bool:
    return not block.source.startswith(tuple(ELSEWHERE)) and not defines_an_engine(block)


def defines_an_engine(block: Block) -> bool:
    """Say whether the block is a file rather than a program: tests/unit/test_docs.py imports and asks it."""
    return "(Engine):" in block.source


def here(block: Block) -> str:
    """Return a bash block without the lines that are covered elsewhere."""
    lines = block.source.splitlines()
    return "\n".join(line for line in lines if not line.startswith(tuple(ELSEWHERE)))


def stable(text: str) -> list[str]:
    for pattern, stand_in in VOLATILE:
        text = re.sub(pattern, stand_in, text, flags=re.MULTILINE)
    return [line for line in text.splitlines() if line]


def run(block: Block, quickstart: Raygate) -> subprocess.CompletedProcess[str]:
    interpreter = ["bash", "-ec"] if block.language == "bash" else [sys.executable, "-c"]
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAYGATE_HOME": str(quickstart.home),
        "RAYGATE_BASE_URL": quickstart.url,
        "RAYGATE_API_KEY": KEY,
    }
    source = here(block).replace("http://localhost:8000", quickstart.url)
    source = source.replace("localhost:9000", quickstart.grpc_address)
    return subprocess.run(
        [*interpreter, source],
        env=environment,
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # as in a terminal
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("block", [each for each in blocks() if runnable(each)], ids=str)
def test_a_block_does_what_it_says(quickstart: Raygate, block: Block) -> None:
    ran = run(block, quickstart)
    assert ran.returncode == 0, ran.stdout
    if block.output is not None:
        assert stable(ran.stdout) == stable(block.output)


@pytest.mark.parametrize("begins", ELSEWHERE)
def test_each_exception_is_needed(begins: str) -> None:
    assert any(line.startswith(begins) for block in blocks() for line in block.source.splitlines())


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


@pytest.mark.parametrize("example", [each for each in EXAMPLES if not each.startswith("raygate serve")])
def test_an_example_of_the_command_line_works(quickstart: Raygate, example: str) -> None:
    block = Block("README.md", 0, "bash", example, None)
    ran = run(block, quickstart)
    # The key named alice comes and goes with the examples; which is there depends on what ran before.
    assert ran.returncode == 0 or "alice" in ran.stdout, ran.stdout
    assert "Traceback" not in ran.stdout
