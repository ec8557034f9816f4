"""Files, in a folder and in memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from auth.store import Store
from objects.file_store import Files
from objects.storage import Storage

QUOTA = 100_000


@pytest.fixture(params=["folder", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    url = str(tmp_path / "files") if request.param == "folder" else f"memory://{tmp_path.name}"
    storage = Storage(url, {})
    yield storage
    storage.close()


@pytest.fixture
def files(store: Store, storage: Storage) -> Files:
    return Files(store, storage, QUOTA)
