"""Each configuration runs once, shared by the tests that need it: starting engines is the expensive part."""

import os
from pathlib import Path

import pytest

from tests.e2e.running import REPOSITORY


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "e2e" in item.path.parts:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def configs() -> Path:
    """The configurations that users get."""
    return REPOSITORY / "configs"


@pytest.fixture(scope="session")
def model_cache() -> Path:
    """Converted models are kept from run to run: conversion has tests of its own."""
    folder = Path(os.environ.get("RAYGATE_TEST_HOME") or "~/.cache/raygate-tests").expanduser() / "models"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
