#!/usr/bin/env bash
# To the openai SDK a stream that simply ends, without finish_reason and without [DONE], is a success.
set -eu
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3.11 -m venv venv
venv/bin/pip install -q openai==3.57.0
timeout 60 venv/bin/python - <<'EOF'
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import openai

CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
CHUNK["choices"] = [{"index": 0, "delta": {"role": "assistant", "content": "The capital of"}, "finish_reason": None}]


class Dies(BaseHTTPRequestHandler):
    """Ends its answer after one chunk, by closing the connection: what is left of a server that was killed."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(f"data: {json.dumps(CHUNK)}\n\n".encode())

    def log_message(self, *_: object) -> None:
        pass


server = HTTPServer(("127.0.0.1", 0), Dies)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="k", max_retries=0)
messages = [{"role": "user", "content": "What is the capital of France?"}]
print(f"openai {openai.__version__}")

chunks = list(client.chat.completions.create(model="m", messages=messages, stream=True))
ends = [chunk.choices[0].finish_reason for chunk in chunks]
print(f"create(stream=True): no exception, {len(chunks)} chunk, finish_reason {ends}")

with client.chat.completions.stream(model="m", messages=messages) as stream:
    final = stream.get_final_completion().choices[0]
print(f"stream(): no exception, a final completion of {final.message.content!r}, finish_reason {final.finish_reason}")
assert (ends, final.message.content, final.finish_reason) == ([None], "The capital of", None), "the behaviour has changed"
EOF
