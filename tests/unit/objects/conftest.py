"""Files, in a folder, in memory and in a bucket."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import s3fs
from moto.server import ThreadedMotoServer

from auth.store import Store
from objects.file_store import Files
from objects.storage import Storage

QUOTA = 100_000


@pytest.fixture(scope="session")
def s3_options() -> Iterator[dict[str, Any]]:
    """What leads s3fs to a server that speaks S3."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {"endpoint_url": f"http://{host}:{port}", "key": "raygate", "secret": "raygate"}
    server.stop()


@pytest.fixture(params=["folder", "memory", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    match request.param:
        case "folder":
            storage = Storage(str(tmp_path / "files"), {})
        case "memory":
            storage = Storage(f"memory://{uuid4()}", {})
        case "s3":
            options, bucket = request.getfixturevalue("s3_options"), str(uuid4())
            s3fs.S3FileSystem(**options).mkdir(bucket)
            storage = Storage(f"s3://{bucket}/raygate/files", options)
    yield storage
    storage.close()


@pytest.fixture
def files(store: Store, storage: Storage) -> Files:
    return Files(store, storage, QUOTA)
