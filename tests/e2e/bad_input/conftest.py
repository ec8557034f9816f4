"""A gateway of its own for whatever schemathesis makes up: it creates keys and projects as well."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis

from tests.e2e.running import Raygate, raygate

CONFIG = """
models:
  - name: echo
    engine: echo
  - name: vectors
    engine: echo
    task: embed
  - name: ears
    engine: echo
    task: transcribe
default_model: echo
"""


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Raygate]:
    home = tmp_path_factory.mktemp("bad-input")
    config = home / "echo.yaml"
    config.write_text(CONFIG)
    with raygate(config, home) as running:
        yield running


@pytest.fixture(scope="package")
def openapi(running: Raygate) -> Any:
    return schemathesis.openapi.from_url(f"{running.url}/openapi.json")
