"""RAYGATE_HOME is for its owner alone, whatever the umask was."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cluster.home import OTHERS, make_private


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes(home: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) & OTHERS for path in (home, *home.rglob("*"))}


def test_a_new_home_is_its_owners_alone(tmp_path: Path) -> None:
    make_private(tmp_path / "home")
    assert modes(tmp_path / "home") == {0}


def test_what_is_written_afterwards_is_its_owners_alone(tmp_path: Path) -> None:
    make_private(tmp_path)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/serve.log").write_text("a line")
    assert modes(tmp_path) == {0}


def test_a_home_that_others_may_read_is_mended(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir(mode=0o755)
    (tmp_path / "secrets/internal_token").write_text("secret")
    (tmp_path / "raygate.db").write_bytes(b"")
    make_private(tmp_path)
    assert modes(tmp_path) == {0}


def test_a_link_out_of_the_home_is_left_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("not ours")
    home = tmp_path / "home"
    (home / "files").mkdir(parents=True)
    (home / "files/link").symlink_to(elsewhere)
    make_private(home)
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o666
