from pathlib import Path

import pytest

from gateway.config.file import ConfigError, Position, read, written


def file(folder: Path, content: str | bytes) -> Path:
    path = folder / "raygate.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_value_knows_where_it_stands(tmp_path: Path) -> None:
    document = read(file(tmp_path, "models:\n  - name: a\n    engine: echo\n"))
    assert document.data == {"models": [{"name": "a", "engine": "echo"}]}
    assert document.position(("models", 0, "engine")) == Position(line=3, column=5)


def test_a_missing_key_stands_where_its_parent_does(tmp_path: Path) -> None:
    document = read(file(tmp_path, "models:\n  - name: a\n"))
    assert document.position(("models", 0, "source")) == Position(line=2, column=5)


def test_a_key_path_is_written_as_one_reads_it() -> None:
    assert written(("models", 0, "replicas", "min")) == "models[0].replicas.min"


@pytest.mark.parametrize(
    ("content", "place", "problem"),
    [
        ("", ":1:1", "the file is empty"),
        ("# only a comment\n", ":1:1", "the file is empty"),
        ("models: [", ":1:10", "not YAML"),
        ("models:\n\t- name: a\n", ":2:1", "not YAML"),
        ("a: 1\nb: 2\n---\nc: 3\n", ":3:1", "not YAML"),
        ("a: !!python/object:os.system {}\n", ":1:4", "not YAML"),
        ("models: []\nmodels: []\n", ":2:1", "models: the key stands twice, first on line 1"),
        ("a:\n  - {b: 1, b: 2}\n", ":2:12", "a[0].b: the key stands twice, first on line 2"),
        (b"\xff\xfe\x00", "", "not UTF-8"),
    ],
)
def test_a_broken_file_is_named_by_line(tmp_path: Path, content: str | bytes, place: str, problem: str) -> None:
    path = file(tmp_path, content)
    with pytest.raises(ConfigError) as raised:
        read(path)
    assert str(raised.value).startswith(f"{path}{place}: {problem}")


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file$"):
        read(tmp_path / "none.yaml")


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a folder, not a file"):
        read(tmp_path)


def test_an_anchor_that_holds_itself_ends(tmp_path: Path) -> None:
    assert read(file(tmp_path, "a: &a\n  b: *a\n")).data["a"]["b"]
