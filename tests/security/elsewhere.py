"""A server elsewhere that answers chats, completions and messages, and remembers what it was sent."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
_MESSAGE = {"role": "assistant", "content": "yes"}
_CHOICE = {"index": 0, "finish_reason": "stop", "logprobs": None}
_ANSWERS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"id": "c", "created": 1, "choices": [{**_CHOICE, "message": _MESSAGE}], "usage": _USAGE},
    "/v1/completions": {"id": "c", "created": 1, "choices": [{**_CHOICE, "text": "yes"}], "usage": _USAGE},
    "/v1/messages": {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "yes"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
    "/v1/messages/count_tokens": {"input_tokens": 1},
}


@dataclass
class Elsewhere:
    """The server.

    Attributes:
        url: up to and with ``/v1``.
        bodies: what came, in JSON.
        shown: the credentials that came with them.
    """

    url: str
    bodies: list[dict[str, Any]] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)


@contextlib.contextmanager
def elsewhere() -> Iterator[Elsewhere]:
    """Run the server."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            there.shown.append(self.headers["authorization"])
            raw = self.rfile.read(int(self.headers["content-length"]))
            if self.headers["content-type"] == "application/json":
                there.bodies.append(json.loads(raw))
            self._answer(_ANSWERS[self.path])

        def do_GET(self) -> None:
            self._answer({"object": "list", "data": []})

        def _answer(self, told: dict[str, Any]) -> None:
            body = json.dumps({"model": "m", "usage": _USAGE, **told}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    there = Elsewhere(f"http://127.0.0.1:{server.server_port}/v1")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield there
    finally:
        server.shutdown()
        server.server_close()
