"""RAYGATE_HOME is for its owner alone: keys, secrets, logs and clients' files lie there."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from gateway.cluster.preflight import OperatorMistake

OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OURS = ("raygate.db*", "secrets", "logs", "files", "indexes", "responses")


def make_private(home: Path) -> None:
    """Let no other user read Raygate's folder, nor anything that this process and its children write from now on.

    Raises:
        OperatorMistake: others may read it, and it is not this user's to mend.
    """
    os.umask(OTHERS)
    home.mkdir(parents=True, exist_ok=True)
    for path in (home, *_within(home)):
        mode = path.stat().st_mode
        if mode & OTHERS:
            _close(path, stat.S_IMODE(mode) & ~OTHERS)


def _within(home: Path) -> Iterator[Path]:
    """Yield what Raygate keeps there; links are left alone, and so are models, which hold no secret."""
    for pattern in _OURS:
        for path in home.glob(pattern):
            yield from (each for each in (path, *path.rglob("*")) if not each.is_symlink())


def _close(path: Path, mode: int) -> None:
    try:
        path.chmod(mode)
    except PermissionError:
        message = f"{path} may be read by other users, and this user cannot change that: chmod go-rwx {path}"
        raise OperatorMistake(message) from None
