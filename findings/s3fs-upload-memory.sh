#!/usr/bin/env bash
# s3fs holds up to 50 MiB of a file that is being written, and some times as much while it sends a block.
set -eu
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3.11 -m venv venv
venv/bin/pip install -q s3fs==2026.9.0 fsspec==2026.9.0 "moto[s3]==5.2.5" flask==3.1.3 flask-cors==6.0.5
timeout 120 venv/bin/python - <<'EOF'
import os
import socket
import subprocess
import time
import tracemalloc
from importlib.metadata import version

import s3fs

MIB = 2**20
os.environ |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "a", "AWS_DEFAULT_REGION": "us-east-1"}
print(f"s3fs {version('s3fs')}, against the server of moto {version('moto')}")
with socket.create_server(("127.0.0.1", 0)) as probe:
    port = probe.getsockname()[1]
server = subprocess.Popen(["venv/bin/moto_server", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def held(files: s3fs.S3FileSystem, **options: int) -> tuple[float, float]:
    """Write 60 MiB in pieces of 1 MiB; return the MiB that were held after 49, and the most that ever were."""
    piece = bytes(MIB)
    tracemalloc.start()
    with files.open("bucket/file", "wb", **options) as file:
        for _ in range(49):
            file.write(piece)
        before = tracemalloc.get_traced_memory()[0] / MIB
        for _ in range(11):
            file.write(piece)
    most = tracemalloc.get_traced_memory()[1] / MIB
    tracemalloc.stop()
    print(f"open(..., {options}): {before:.0f} MiB held after 49 pieces of 1 MiB, {most:.0f} MiB at most")
    return before, most


try:
    for _ in range(200):
        with socket.socket() as asked:
            if not asked.connect_ex(("127.0.0.1", port)):
                break
        time.sleep(0.1)
    files = s3fs.S3FileSystem(endpoint_url=f"http://127.0.0.1:{port}")
    files.mkdir("bucket")
    held(files, block_size=8 * MIB)  # warms up: what is imported on the way is not counted
    default, small = held(files), held(files, block_size=8 * MIB)
finally:
    server.terminate()
    server.wait()
assert 49 <= default[0] < 60 and default[1] >= 100 and small[0] < 20 and small[1] < 50, "the behaviour has changed"
EOF
