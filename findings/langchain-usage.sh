#!/usr/bin/env bash
# langchain-openai adds up the usage of every chunk, though each tells the total so far; the openai SDK takes the last.
set -eu
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3.11 -m venv venv
venv/bin/pip install -q langchain-openai==1.7.4 langchain-core==1.8.3 openai==3.57.0
timeout 90 venv/bin/python - <<'EOF'
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version

import openai
from langchain_openai import ChatOpenAI


def chunk(text: str, completion_tokens: int, finish_reason: str | None = None) -> str:
    usage = {"prompt_tokens": 10, "completion_tokens": completion_tokens, "total_tokens": 10 + completion_tokens}
    choices = [{"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}]
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return f"data: {json.dumps({**head, 'choices': choices, 'usage': usage})}\n\n"


# As vLLM sends it with stream_options.continuous_usage_stats.
BODY = (chunk("a", 1) + chunk("b", 2) + chunk("c", 3, "stop") + "data: [DONE]\n\n").encode()


class Streams(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_: object) -> None:
        pass


server = HTTPServer(("127.0.0.1", 0), Streams)
threading.Thread(target=server.serve_forever, daemon=True).start()
where = {"base_url": f"http://127.0.0.1:{server.server_port}/v1", "api_key": "k"}
print(f"langchain-openai {version('langchain-openai')}, openai {openai.__version__}")
print("three chunks, whose usage says 10 prompt tokens, and 1, 2 and 3 completion tokens")

with openai.OpenAI(**where).chat.completions.stream(model="m", messages=[{"role": "user", "content": "hi"}]) as stream:
    usage = stream.get_final_completion().usage
of_openai = (usage.prompt_tokens, usage.completion_tokens)
usage = ChatOpenAI(model="m", streaming=True, **where).invoke("hi").usage_metadata
of_langchain = (usage["input_tokens"], usage["output_tokens"])
print(f"openai's stream() ends with {of_openai}, ChatOpenAI with {of_langchain}")
assert (of_openai, of_langchain) == ((10, 3), (30, 6)), "the behaviour has changed"
EOF
