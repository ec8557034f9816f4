"""The generated code in git is what the .proto file says."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
FOLDER = Path("gateway/grpc")
GENERATED = ["chat_pb2.py", "chat_pb2.pyi", "chat_pb2_grpc.py"]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("grpc_tools")
    folder = tmp_path_factory.mktemp("generated")
    outputs = [f"--{kind}_out={folder}" for kind in ("python", "pyi", "grpc_python")]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", *outputs, str(FOLDER / "chat.proto")]
    subprocess.run(command, cwd=ROOT, check=True)
    return folder / FOLDER


@pytest.mark.parametrize("name", GENERATED)
def test_make_proto_would_change_nothing(fresh: Path, name: str) -> None:
    assert (fresh / name).read_text() == (ROOT / FOLDER / name).read_text()
