"""How an installation starts, fails, lasts and ends. Each file starts its own, for ending it is what it tests."""

import pytest

from tests.e2e.lifecycle import offline


@pytest.fixture(scope="session")
def namespaces() -> None:
    """Skip where the machine does not let tests take the network away."""
    if not offline.is_possible():
        pytest.skip("this machine allows no network namespaces")
