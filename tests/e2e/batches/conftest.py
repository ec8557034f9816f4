"""An echo engine with a pace, behind two gateway replicas, of which one runs the batches."""

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.e2e.running import KEY, Raygate, raygate

QUOTA = 300_000
MAX_FILE = 200_000

CONFIG = f"""
models:
  - name: echo
    engine: echo
    engine_args: {{tokens_per_s: 100}}
    price: {{prompt: 1, completion: 2}}
  - name: vectors
    engine: echo
    task: embed
gateway:
  replicas: 2
  bounds: {{body_timeout_s: 3, max_body_bytes: 20000}}
files: {{max_bytes: {MAX_FILE}, project_quota_bytes: {QUOTA}, upload_timeout_s: 5}}
batches: {{quiet_s: 0, discount: 0.25}}
"""


@pytest.fixture(scope="package")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("batches") / "batches.yaml"
    file.write_text(CONFIG)
    return file


@pytest.fixture(scope="package")
def batching(config: Path) -> Iterator[Raygate]:
    with raygate(config, config.parent / "home") as running:
        yield running


@pytest.fixture
def client(batching: Raygate) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=batching.openai_url, api_key=KEY, max_retries=0) as client:
        yield client
