"""Every recipe of docs/clients.md with the real client, and the output that the page promises."""

import json
import re
import shutil

import pytest

from tests.clients.recipes import PAGE, RECIPES, follow, requirements_of
from tests.e2e.pages import Block, stable
from tests.e2e.running import REPOSITORY, Raygate


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: f"{recipe.heading}:{recipe.line}")
def test_a_client_does_what_its_recipe_says(running: Raygate, recipe: Block) -> None:
    if recipe.language == "js" and not shutil.which("npm"):
        pytest.skip("its client needs Node.js and npm")
    ran = follow(recipe, running)
    assert ran.returncode == 0, ran.stdout
    assert stable(ran.stdout) == stable(recipe.output or "")


def installed_with(program: str, heading: str) -> set[str]:
    """Return the packages that a section of the page tells its reader to install."""
    section = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    told = re.search(rf"`{program} install ([^`]+)`", section)
    return set(told[1].replace('"', "").split()) if told else set()


@pytest.mark.parametrize("recipe", [each for each in RECIPES if requirements_of(each).exists()], ids=str)
def test_what_the_page_installs_is_what_is_tried(recipe: Block) -> None:
    pinned = requirements_of(recipe).read_text().splitlines()
    assert installed_with("pip", recipe.heading) == {line.partition(">")[0] for line in pinned}


def test_what_the_page_installs_for_node_is_what_is_tried() -> None:
    package = json.loads((REPOSITORY / "tests/clients/package.json").read_text())
    told = {name for recipe in RECIPES for name in installed_with("npm", recipe.heading)}
    assert told == set(package["dependencies"])
