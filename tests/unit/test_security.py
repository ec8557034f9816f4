"""Each promise of docs/security.md has a file that holds it, and the other way round."""

import ast
import re
from pathlib import Path

import pytest

from tests.security.table import TABLE, WAYS, rendered

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
FILES = [path for path in (ROOT / "tests" / "security").glob("test_*.py") if path.stem != "test_table"]
PROMISES, _, UNPROMISED = PAGE.partition("## What is not promised")


def test_each_promise_has_its_file_and_each_file_its_promise() -> None:
    promised = re.findall(r"^## (.+)$", PROMISES, re.MULTILINE)
    held = [(ast.get_docstring(ast.parse(path.read_text())) or "").rstrip(".") for path in FILES]
    assert sorted(promised) == sorted(held)


def test_the_page_says_what_it_does_not_promise() -> None:
    assert UNPROMISED.strip()


def test_the_table_of_the_page_is_that_of_the_tests() -> None:
    assert rendered() in PAGE


@pytest.mark.parametrize("way", WAYS)
def test_each_way_is_tried_somewhere(way: str) -> None:
    tried = re.compile(rf"(?:endpoints|asked)_with\(\"{way}\"")
    assert any(way in ways for ways in TABLE.values())
    assert [path for path in FILES if tried.search(path.read_text())]
