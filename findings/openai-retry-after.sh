#!/usr/bin/env bash
# The openai SDK does not retry at all when Retry-After asks for more than 120 seconds, whatever max_retries says.
set -eu
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3.11 -m venv venv
venv/bin/pip install -q openai==3.57.0
timeout 60 venv/bin/python - <<'EOF'
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import openai

ERROR = json.dumps({"error": {"message": "slower", "type": "tokens", "param": None, "code": "rate_limit_exceeded"}})


class Limited(BaseHTTPRequestHandler):
    asked = 0
    headers_sent: dict[str, str] = {}

    def do_POST(self) -> None:
        Limited.asked += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(429)
        for name, value in Limited.headers_sent.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(ERROR)))
        self.end_headers()
        self.wfile.write(ERROR.encode())

    def log_message(self, *_: object) -> None:
        pass


server = HTTPServer(("127.0.0.1", 0), Limited)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="k", max_retries=2)
print(f"openai {openai.__version__}, max_retries=2")


def attempts(headers: dict[str, str]) -> int:
    Limited.asked, Limited.headers_sent, start = 0, headers, time.monotonic()
    try:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    except openai.RateLimitError:
        print(f"429 with {headers}: {Limited.asked} attempts in {time.monotonic() - start:.1f} s")
    return Limited.asked


found = [attempts({"Retry-After": "1"}), attempts({"Retry-After": "121"})]
found.append(attempts({"Retry-After": "121", "x-should-retry": "true"}))  # the server's word elsewhere
assert found == [3, 1, 1], f"the behaviour has changed: {found}"
EOF
