"""A model that cannot start says why, wherever an operator looks, and leaves the others alone."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.lifecycle.contract import error_of
from tests.e2e.running import Raygate, raygate

CONFIG = """
models:
  - {name: echo, engine: echo}
  - {name: broken-vllm, engine: vllm, source: ./unknown-architecture}
  - {name: broken-hf, engine: transformers, source: ./unknown-architecture}
"""
BROKEN = ("broken-vllm", "broken-hf")
CAUSE = "The checkpoint you are trying to load has model type `no-such` but Transformers does not recognize this"
CHAT = "/v1/chat/completions"
HELLO = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 1}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Raygate]:
    folder = tmp_path_factory.mktemp("broken")
    weights = folder / "unknown-architecture"
    weights.mkdir()
    (weights / "config.json").write_text('{"architectures": ["NoSuchForCausalLM"], "model_type": "no-such"}')
    (folder / "models.yaml").write_text(CONFIG)
    with raygate(folder / "models.yaml", folder / "home", ready=False) as running:
        running.await_output("Ctrl-C stops it.")
        yield running


@pytest.fixture
def http(broken: Raygate) -> Iterator[httpx.Client]:
    with broken.client() as client:
        yield client


def test_the_other_models_answer(http: httpx.Client) -> None:
    assert http.post(CHAT, json={**HELLO, "model": "echo"}).status_code == 200


def test_readyz_names_the_engines_own_cause_in_one_line(http: httpx.Client) -> None:
    response = http.get("/readyz")
    models: dict[str, dict[str, Any]] = response.json()["models"]
    assert (response.status_code, response.json()["status"]) == (503, "failed")
    assert models["echo"] == {"state": "ready", "detail": None}
    assert [models[name]["state"] for name in BROKEN] == ["failed", "failed"]
    assert [CAUSE in models[name]["detail"] for name in BROKEN] == [True, True]
    assert [models[name]["detail"].splitlines() for name in BROKEN] == [[models[name]["detail"]] for name in BROKEN]


def test_status_shows_it_and_exits_with_1(broken: Raygate) -> None:
    status = broken.raygate("status")
    folded = " ".join(status.stdout.split())
    assert status.returncode == 1
    assert all(name in folded for name in ("echo", *BROKEN))
    assert folded.count("failed") == folded.count("`no-such`") == 2


@pytest.mark.parametrize("name", BROKEN)
def test_the_output_names_model_and_cause_once(broken: Raygate, name: str) -> None:
    told = [line for line in broken.output.read_text().splitlines() if line.startswith(f"Failed    {name}: ")]
    assert len(told) == 1
    assert CAUSE in told[0]


@pytest.mark.parametrize("name", BROKEN)
def test_a_request_for_it_is_a_503_at_once(http: httpx.Client, name: str) -> None:
    refused = http.post(CHAT, json={**HELLO, "model": name}, timeout=5)
    assert refused.status_code == 503
    assert error_of(refused)["code"] == "model_loading"


def test_the_log_names_model_and_cause(broken: Raygate) -> None:
    ended = broken.stop()
    told = [line for line in broken.logs().splitlines() if '"state":"failed"' in line and CAUSE in line]
    assert (ended.code, ended.left) == (0, [])
    assert [any(f'"model":"{name}"' in line for line in told) for name in BROKEN] == [True, True]
