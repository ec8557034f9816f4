"""The programs that the documentation shows, and the output that it promises."""

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.running import KEY, REPOSITORY, Raygate

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
    """A fenced block under a heading, and the block of output that follows it, if one does."""

    page: str
    heading: str
    line: int
    language: str
    source: str
    output: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Return the programs on a page, in order."""
    text, found = page.read_text(), []
    fence = r"^```(bash|python|js)\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?"
    for match in re.finditer(fence, text, re.DOTALL | re.MULTILINE):
        before = text[: match.start()]
        heading = "".join(re.findall(r"^## (.*)$", before, re.MULTILINE)[-1:])
        found.append(Block(page.name, heading, before.count("\n") + 1, match[1], match[2], match[3]))
    return found


def run(
    block: Block, interpreter: Sequence[str], binaries: Path, raygate: Raygate, cwd: Path = REPOSITORY
) -> subprocess.CompletedProcess[str]:
    """Run a program against an instance as its reader would, who has set the variables that the pages name.

    Args:
        block: the program.
        interpreter: the command that takes the program as its last argument.
        binaries: the folder whose commands the program finds first.
        raygate: what it asks; its port stands in for 8000.
        cwd: the folder in which it runs.
    """
    environment = {
        **os.environ,
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "RAYGATE_HOME": str(raygate.home),
        "RAYGATE_BASE_URL": raygate.url,
        "RAYGATE_API_KEY": KEY,
        "OPENAI_BASE_URL": raygate.openai_url,
        "OPENAI_API_KEY": KEY,
    }
    return subprocess.run(
        [*interpreter, block.source.replace("http://localhost:8000", raygate.url)],
        env=environment,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # as in a terminal
        text=True,
        timeout=300,
        check=False,
    )


def stable(text: str) -> list[str]:
    """Return the lines of an output without what differs from run to run."""
    for pattern, stand_in in VOLATILE:
        text = re.sub(pattern, stand_in, text, flags=re.MULTILINE)
    return [line for line in text.splitlines() if line]
