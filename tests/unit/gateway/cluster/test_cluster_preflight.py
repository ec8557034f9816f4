import socket
from pathlib import Path
from typing import Any

import pytest

from gateway.cluster import preflight
from gateway.cluster.preflight import GIB, OperatorMistake
from gateway.config.schema import Config, ModelConfig


def model(**fields: Any) -> ModelConfig:
    return ModelConfig.model_validate({"name": "m", "engine": "vllm", "source": "org/m", **fields})


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OperatorMistake, match=f"port {port}: another program uses it; choose another with --port"):
            preflight.check_port("127.0.0.1", port)


def test_a_free_port_passes() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    preflight.check_port("127.0.0.1", port)


def test_grpcs_port_in_use_is_named_by_its_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OperatorMistake, match=r"another program uses it; choose another with gateway\.grpc_port"):
            preflight.check_grpc_port("127.0.0.1", taken.getsockname()[1], 8000)


def test_grpc_has_a_port_of_its_own() -> None:
    with pytest.raises(OperatorMistake, match=r"gateway\.grpc_port is 8000, where HTTP listens"):
        preflight.check_grpc_port("127.0.0.1", 8000, 8000)


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(OperatorMistake, match="this machine has no such address"):
        preflight.check_port("192.0.2.99", 8000)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OperatorMistake, match=r"model 'm': there is no folder .*/none"):
        preflight.check_folder(model(source=str(tmp_path / "none")))


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(OperatorMistake, match=r"has no config\.json"):
        preflight.check_folder(model(source=str(tmp_path)))


def test_a_folder_with_a_model_passes(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    preflight.check_folder(model(source=str(tmp_path)))


def test_too_little_memory_says_how_much_is_needed() -> None:
    config = Config.model_validate({"models": [{"name": "m", "engine": "vllm", "source": "org/m", "replicas": 2}]})
    with pytest.raises(OperatorMistake, match=r"too little memory: 3\.0 GiB are available, .* needs about 8\.0 GiB"):
        preflight.check_memory(config, 3 * GIB)


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(preflight.PACKAGES, "vllm", ("no_such_package",))
    with pytest.raises(OperatorMistake, match="needs the Python package 'no_such_package'"):
        preflight.check_packages(model())


def test_a_containers_limit_counts(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text(f"{2 * GIB}\n")
    (tmp_path / "memory.current").write_text(f"{GIB}\n")
    assert preflight.available_memory(tmp_path) == GIB


@pytest.mark.parametrize("limit", ["max\n", None])
def test_without_a_limit_the_machines_memory_counts(tmp_path: Path, limit: str | None) -> None:
    (tmp_path / "memory.current").write_text(f"{GIB}\n")
    if limit:
        (tmp_path / "memory.max").write_text(limit)
    assert preflight.available_memory(tmp_path) > 0
