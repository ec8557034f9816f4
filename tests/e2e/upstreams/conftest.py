"""Another server that answers in every way that was reported, a model that stands in for it, and an alias for both."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from tests.e2e.running import KEY, Raygate, raygate
from tests.e2e.upstreams import elsewhere

CONFIG = """
models:
  - name: zoo
    engine: upstream
    engine_args: {{base_url: "http://127.0.0.1:{port}/v1"}}
  - name: spare
    engine: echo
  - name: either
    route: [{{model: zoo}}]
    fallback: [spare]
"""


@pytest.fixture(scope="package")
def upstreams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Raygate]:
    home = tmp_path_factory.mktemp("upstreams")
    config = Path(home, "upstreams.yaml")
    with elsewhere.running() as port:
        config.write_text(CONFIG.format(port=port))
        with raygate(config, home) as running:
            yield running


@pytest.fixture
def http(upstreams: Raygate) -> Iterator[httpx.Client]:
    with upstreams.client() as client:
        yield client


@pytest.fixture
def sdk(upstreams: Raygate) -> Iterator[OpenAI]:
    with OpenAI(base_url=upstreams.openai_url, api_key=KEY, max_retries=0) as client:
        yield client
