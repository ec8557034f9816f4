"""The quickstart: SmolLM2 on vLLM and on Transformers."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from tests.e2e.running import KEY, Raygate, free_port, raygate

MODELS = ("smollm2", "smollm2-hf")


@pytest.fixture(scope="package")
def quickstart(tmp_path_factory: pytest.TempPathFactory, configs: Path, model_cache: Path) -> Iterator[Raygate]:
    home = tmp_path_factory.mktemp("quickstart")
    (home / "models").symlink_to(model_cache)
    config = home / "quickstart.yaml"
    config.write_text(f"{(configs / 'quickstart.yaml').read_text()}\ngateway: {{grpc_port: {free_port()}}}\n")
    with raygate(config, home) as running:
        yield running


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> str:
    """Every test that asks for a model runs on both engines."""
    return str(request.param)


@pytest.fixture
def http(quickstart: Raygate) -> Iterator[httpx.Client]:
    with quickstart.client() as client:
        yield client


@pytest.fixture
def sdk(quickstart: Raygate) -> Iterator[OpenAI]:
    with OpenAI(base_url=quickstart.openai_url, api_key=KEY, max_retries=0) as client:
        yield client
