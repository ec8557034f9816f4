"""Requests whose bodies arrive a byte at a time."""

import json
import select
import socket
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

PAUSE_S = 0.1
PADDING = 300
"""White space behind the body, or bytes of a file: it would take half a minute to arrive."""

_BOUNDARY = "b0undary"


@dataclass(frozen=True)
class Slow:
    """A request, of whose body the last ``slow_bytes`` are sent one by one."""

    name: str
    method: str
    path: str
    body: bytes
    content_type: str = "application/json"
    slow_bytes: int = PADDING

    @classmethod
    def json(cls, name: str, body: Any, path: str | None = None) -> "Slow":
        """Return a request with a JSON body; the path is the name's unless it is given."""
        method, _, own = name.partition(" ")
        return cls(name, method, path or own, json.dumps(body).encode() + b" " * PADDING)

    @classmethod
    def form(cls, name: str, fields: dict[str, str]) -> "Slow":
        """Return a request with a form, whose file comes first."""
        parts = [_part('name="file"; filename="a.txt"', "x" * PADDING)]
        parts += [_part(f'name="{field}"', value) for field, value in fields.items()]
        body = "".join(parts) + f"--{_BOUNDARY}--\r\n"
        method, _, path = name.partition(" ")
        return cls(name, method, path, body.encode(), f"multipart/form-data; boundary={_BOUNDARY}")


def _part(disposition: str, value: str) -> str:
    return f"--{_BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{value}\r\n"


@dataclass(frozen=True)
class Answered:
    """What came back: the status, 0 for a connection that was closed without one, and when, by the monotonic clock."""

    name: str
    status: int
    at: float


def send_all(pool: ThreadPoolExecutor, port: int, secret: str, requests: Sequence[Slow]) -> list[Future[Answered]]:
    """Begin to send all of the requests side by side."""
    return [pool.submit(_send, port, secret, request) for request in requests]


def _send(port: int, secret: str, request: Slow) -> Answered:
    head = [
        f"{request.method} {request.path} HTTP/1.1",
        "host: raygate",
        f"authorization: Bearer {secret}",
        f"content-type: {request.content_type}",
        f"content-length: {len(request.body)}",
    ]
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall("\r\n".join([*head, "", ""]).encode() + request.body[: -request.slow_bytes])
        for byte in request.body[-request.slow_bytes :]:
            if select.select([client], [], [], PAUSE_S)[0]:
                break
            client.sendall(bytes([byte]))
        told = client.recv(64).split(b" ", 2)
        return Answered(request.name, int(told[1]) if len(told) > 1 else 0, time.monotonic())
