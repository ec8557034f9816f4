"""Settings that all tests share, and which of them may run side by side."""

from pathlib import PurePosixPath

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Shared machines are slow at times; what a property test finds does not depend on how long it took.
settings.register_profile("raygate", deadline=None)
settings.load_profile("raygate")

COMPUTING = "computing"
"""The clusters that need a core to themselves follow each other; those that mostly wait run beside them."""


def cluster_of(nodeid: str) -> str:
    """Return what a test shares with others: its folder's cluster, or one of its file's own."""
    file = PurePosixPath(nodeid.partition("::")[0])
    if file.parent.name in {"quickstart", "contract"} or file.name == "test_image.py":
        return COMPUTING
    return str(file if file.parent.name == "lifecycle" else file.parent)


class ByCluster(LoadScopeScheduling):
    """Keeps the tests of a cluster in one of pytest-xdist's processes.

    Its own marks for that are lost: version 3.8 writes to ``item._nodeid``, which pytest 9.2 does not read.
    """

    def _split_scope(self, nodeid: str) -> str:
        return cluster_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """Let ``--dist loadscope`` mean clusters."""
    return ByCluster(config, log) if config.getoption("dist") == "loadscope" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    items.sort(key=lambda item: cluster_of(item.nodeid) != COMPUTING)
