"""The recipes of docs/clients.md, and the environment in which each one runs."""

import subprocess
import sys
from pathlib import Path

from tests.e2e.pages import Block, blocks_of, run
from tests.e2e.running import REPOSITORY, Raygate

PAGE = REPOSITORY / "docs/clients.md"
RECIPES = blocks_of(PAGE)
ENVIRONMENTS = REPOSITORY / ".clients"
"""What ``environments.mk`` makes."""


def requirements_of(recipe: Block) -> Path:
    """Return the list of what the client needs; there is none for those that Raygate's own environment has."""
    return Path(__file__).with_name(f"requirements-{recipe.heading.lower().replace(' ', '-')}.txt")


def follow(recipe: Block, running: Raygate) -> subprocess.CompletedProcess[str]:
    """Run a recipe with its client against an instance."""
    binaries = Path(sys.executable).parent
    if requirements_of(recipe).exists():
        binaries = ENVIRONMENTS / requirements_of(recipe).stem.removeprefix("requirements-") / "bin"
    interpreter = {
        "bash": ["bash", "-ec"],
        "js": ["node", "--input-type=module", "--eval"],
        "python": [str(binaries / "python"), "-c"],
    }[recipe.language]
    # Node.js looks for packages from the folder in which it runs.
    cwd = ENVIRONMENTS / "node" if recipe.language == "js" else REPOSITORY
    return run(recipe, interpreter, binaries, running, cwd)
