"""Pipelines over an echo that chats and a real model that embeds."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from tests.collector import Collector, collecting
from tests.e2e.running import KEY, REPOSITORY, Raygate, raygate

CONFIG = """
models:
  - name: echo
    engine: echo
    engine_args: {{default_max_tokens: 100}}
  - name: slow
    engine: echo
    engine_args: {{tokens_per_s: 20, default_max_tokens: 1000}}
  - name: minilm
    engine: transformers
    source: embedded:minilm
    task: embed
  - name: docs
    engine: pipeline
    engine_args:
      class: engines.pipeline.retrieval:Retrieval
      models: {{chat: echo, embed: minilm}}
      passages: 2
      otlp_endpoint: http://127.0.0.1:{collector}
  - name: slow-docs
    engine: pipeline
    engine_args:
      class: engines.pipeline.retrieval:Retrieval
      models: {{chat: slow, embed: minilm}}
      index: indexes/model-docs.db
  - name: signed
    engine: pipeline
    engine_args: {{class: "tests.e2e.pipelines.own:Signed", models: {{writer: docs}}, signature: "Yours."}}
default_model: docs
"""

DOCUMENTS = {
    "keys.md": "# Keys\n\nTo revoke an API key, run `raygate keys revoke` with its id. It stops within a second.",
    "cooking/bread.txt": "Bread rises because yeast turns sugar into carbon dioxide. Knead the dough for ten minutes.",
    "astronomy.html": "<h1>Jupiter</h1><p>Jupiter is the largest planet of the solar system, and has 95 known moons.",
}


@pytest.fixture(scope="package")
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    for name, text in DOCUMENTS.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture(scope="package")
def config(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Path:
    config = tmp_path_factory.mktemp("config") / "pipelines.yaml"
    config.write_text(CONFIG.format(collector=collector.port))
    return config


@pytest.fixture(scope="package")
def pipelines(tmp_path_factory: pytest.TempPathFactory, config: Path, folder: Path) -> Iterator[Raygate]:
    """A running gateway whose pipelines have the folder's documents."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(REPOSITORY))
        with raygate(config, tmp_path_factory.mktemp("pipelines")) as running:
            indexed = running.raygate("index", str(folder), "--config", str(config), "--model", "docs")
            assert indexed.returncode == 0, indexed.stderr
            yield running


@pytest.fixture
def http(pipelines: Raygate) -> Iterator[httpx.Client]:
    with pipelines.client() as client:
        yield client


@pytest.fixture
def sdk(pipelines: Raygate) -> Iterator[OpenAI]:
    with OpenAI(base_url=pipelines.openai_url, api_key=KEY, max_retries=0) as client:
        yield client
