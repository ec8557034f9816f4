"""Embedded models become ordinary folders, once, whoever races and whoever dies."""

from pathlib import Path
from threading import Thread

import pytest

from engines import embedded
from engines.base import EngineStartError
from engines.embedded import Embedded, prepare, resolve


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    made: list[Path] = []

    def convert(source: Path, folder: Path) -> None:
        made.append(source)
        (folder / "config.json").write_text("{}")

    monkeypatch.setitem(embedded.MODELS, "tiny", Embedded("tiny-model", "filelock", "__init__.py", convert))
    return made


def test_an_embedded_source_becomes_a_folder(conversions: list[Path], tmp_path: Path) -> None:
    folder = resolve("embedded:tiny", tmp_path)

    assert folder == str(tmp_path / "models" / "tiny")
    assert (tmp_path / "models" / "tiny" / "config.json").read_text() == "{}"


def test_a_model_is_converted_once_however_many_ask(conversions: list[Path], tmp_path: Path) -> None:
    askers = [Thread(target=prepare, args=("tiny", tmp_path)) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()

    assert len(conversions) == 1


def test_a_failed_conversion_leaves_nothing_half(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(source: Path, folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("disk full")

    monkeypatch.setitem(embedded.MODELS, "tiny", Embedded("tiny-model", "filelock", "__init__.py", fail))

    with pytest.raises(OSError, match="disk full"):
        prepare("tiny", tmp_path)

    assert [path.name for path in (tmp_path / "models").iterdir() if path.is_dir()] == []


def test_what_a_killed_conversion_left_is_swept_away(conversions: list[Path], tmp_path: Path) -> None:
    left = tmp_path / "models" / ".tiny.abc.part"
    left.mkdir(parents=True)

    prepare("tiny", tmp_path)

    assert not left.exists()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(embedded.MODELS, "tiny", Embedded("tiny-model", "no_such_package", "x", None))

    with pytest.raises(EngineStartError, match="pip install tiny-model"):
        prepare("tiny", tmp_path)


def test_an_unknown_model_is_told_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(EngineStartError, match="minilm, smollm2"):
        resolve("embedded:gpt-5", tmp_path)


def test_a_model_packaged_as_a_folder_is_used_where_it_lies(tmp_path: Path) -> None:
    assert (prepare("minilm", tmp_path) / "config.json").is_file()


def test_a_local_folder_and_a_hub_id_stay_what_they_are(tmp_path: Path) -> None:
    assert resolve(str(tmp_path), tmp_path) == str(tmp_path)
    assert resolve("HuggingFaceTB/SmolLM2-135M-Instruct", tmp_path) == "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_a_path_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineStartError, match="no model folder"):
        resolve(str(tmp_path / "nowhere"), tmp_path)
