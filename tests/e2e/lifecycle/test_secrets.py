"""Which process has which secret in its environment: what a process does not need cannot leak out of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.running import KEY, Raygate, raygate

OURS, THEIRS = "sk-of-the-first-provider", "sk-of-the-second-provider"

CONFIG = """
models:
  - name: echo
    engine: echo
  - name: ours
    engine: upstream
    engine_args: {{base_url: "http://127.0.0.1:9/v1", api_key_env: OUR_PROVIDERS_KEY}}
  - name: theirs
    engine: upstream
    engine_args: {{base_url: "http://127.0.0.1:9/v1", api_key_env: THEIR_PROVIDERS_KEY}}
  - name: signed
    engine: pipeline
    engine_args: {{class: "tests.e2e.pipelines.own:Signed", models: {{writer: echo}}, signature: "Yours."}}
database_url: {database}
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('elsewhere')}/keys.db"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, database: str) -> Iterator[Raygate]:
    home = tmp_path_factory.mktemp("secrets")
    config = home / "raygate.yaml"
    config.write_text(CONFIG.format(database=database))
    with pytest.MonkeyPatch.context() as shell:
        shell.setenv("OUR_PROVIDERS_KEY", OURS)
        shell.setenv("THEIR_PROVIDERS_KEY", THEIRS)
        with raygate(Path(config), home) as running:
            yield running


def environments(running: Raygate, *words: str) -> list[str]:
    """Return the environments of the processes whose title holds the words."""
    return ["\n".join(process.environ().values()) for process in running.processes(*words)]


def test_a_providers_key_is_known_to_its_own_engine_alone(running: Raygate) -> None:
    known = {
        application: {key for key in (OURS, THEIRS) if any(key in each for each in environments(running, title))}
        for application, title in (
            ("gateway", "ServeReplica:gateway"),
            ("echo", "ServeReplica:model-echo"),
            ("ours", "ServeReplica:model-ours"),
            ("theirs", "ServeReplica:model-theirs"),
            ("signed", "ServeReplica:model-signed"),
        )
    }
    assert known == {"gateway": set(), "echo": set(), "ours": {OURS}, "theirs": {THEIRS}, "signed": set()}


def test_no_process_below_has_the_first_key_or_the_databases_url(running: Raygate, database: str) -> None:
    everybody = environments(running)
    assert len(everybody) > 5
    assert not any(KEY in each or database in each for each in everybody)


def test_the_gateways_know_their_database_all_the_same(running: Raygate) -> None:
    with running.client() as http:
        body = {"model": "signed", "messages": [{"role": "user", "content": "hi"}]}
        assert http.post("/v1/chat/completions", json=body).status_code == 200
    assert not (running.home / "raygate.db").exists()
