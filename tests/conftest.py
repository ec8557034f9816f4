"""Settings that all tests share, and which of them may run side by side."""

from pathlib import Path

import pytest
from hypothesis import settings

# Shared machines are slow at times; what a property test finds does not depend on how long it took.
settings.register_profile("raygate", deadline=None)
settings.load_profile("raygate")

COMPUTING = "computing"
"""The clusters that need a core to themselves follow each other; those that mostly wait run beside them."""


def cluster_of(test: Path) -> str:
    """Return what a file's tests share: a folder's cluster, or one of the file's own."""
    if test.parent.name in {"quickstart", "contract"} or test.name == "test_image.py":
        return COMPUTING
    return test.stem if test.parent.name == "lifecycle" else test.parent.name


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep each cluster's tests in one of pytest-xdist's processes, and begin with what takes longest."""
    clusters = {item: cluster_of(item.path) for item in items if {"e2e", "contract"} & {*item.path.parts}}
    for item, cluster in clusters.items():
        item.add_marker(pytest.mark.xdist_group(cluster))
    items.sort(key=lambda item: clusters.get(item) != COMPUTING)
