"""The home is its owner's alone, whatever the umask."""

import stat
from pathlib import Path

from tests.security.conftest import Cluster, Holder

OTHERS = stat.S_IRWXG | stat.S_IRWXO
OURS = ("raygate.db*", "secrets", "logs", "files", "responses")


def test_no_file_or_folder_in_it_is_open_to_others(cluster: Cluster, holder: Holder) -> None:
    holder.upload("what a client says")
    home = cluster.running.home
    ours = [path for pattern in OURS for found in home.glob(pattern) for path in (found, *found.rglob("*"))]
    assert {Path(found).name for found in ours} >= {"secrets", "logs", "files", "raygate.db"}
    assert [path for path in (home, *ours) if not path.is_symlink() and path.stat().st_mode & OTHERS] == []
