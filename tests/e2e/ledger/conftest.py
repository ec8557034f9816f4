"""An echo engine that journals every token it produces, behind two gateway replicas."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.running import Raygate, raygate

TOKENS_PER_S = 50
REQUEST_TIMEOUT_S = 15

CONFIG = """
models:
  - name: echo
    engine: echo
    engine_args: {{tokens_per_s: {pace}, journal: {journal}}}
    replicas: 2
gateway:
  replicas: 2
  bounds: {{request_timeout_s: {timeout}}}
"""


@pytest.fixture(scope="package")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the engines say they produced: a line with the request's id for every token."""
    return tmp_path_factory.mktemp("journal") / "tokens"


@pytest.fixture(scope="package")
def ledgered(tmp_path_factory: pytest.TempPathFactory, journal: Path) -> Iterator[Raygate]:
    home = tmp_path_factory.mktemp("ledgered")
    config = home / "ledger.yaml"
    config.write_text(CONFIG.format(pace=TOKENS_PER_S, journal=journal, timeout=REQUEST_TIMEOUT_S))
    with raygate(config, home) as running:
        yield running
