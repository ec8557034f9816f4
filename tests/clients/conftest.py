"""The configuration that docs/clients.md shows, running."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.recipes import PAGE
from tests.e2e.conftest import model_cache  # noqa: F401 - a fixture
from tests.e2e.running import Raygate, raygate


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Iterator[Raygate]:  # noqa: F811
    home = tmp_path_factory.mktemp("clients")
    (home / "models").symlink_to(model_cache)
    (shown,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    config = home / "clients.yaml"
    config.write_text(shown)
    with raygate(config, home) as started:
        yield started
