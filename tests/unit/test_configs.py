"""The configurations that come with Raygate are ready to run."""

from pathlib import Path

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from gateway.config.check import load
from gateway.config.compile import serve_config

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("name", ["quickstart", "echo", "gpu", "rag"])
def test_it_compiles_to_what_ray_serve_accepts(name: str) -> None:
    compiled = serve_config(load(CONFIGS / f"{name}.yaml"))
    assert ServeDeploySchema.model_validate(compiled).applications[0].name == "gateway"


def test_the_serve_file_is_the_quickstart() -> None:
    written = yaml.safe_load((CONFIGS / "serve.yaml").read_text())
    assert written == serve_config(load(CONFIGS / "quickstart.yaml"))


def test_each_configuration_is_tried() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == {"quickstart", "echo", "gpu", "rag", "serve"}
