"""One Raygate for all promises: two gateway replicas under an open umask, and engines of every task."""

import contextlib
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from gateway.grpc.chat_pb2 import ChatMessage, ChatRequest
from gateway.grpc.chat_pb2_grpc import ChatStub
from tests.e2e.running import KEY, READY_S, Raygate, free_port, raygate
from tests.e2e.waiting import within
from tests.issuer import AUDIENCE, ISSUER, RSA, published
from tests.security.elsewhere import Elsewhere, elsewhere
from tests.security.table import ASKING

ASSUMED_TOKENS = 32
"""What is reserved for an answer without a bound, and said to its engine."""

PROVIDERS_KEY = "sk-of-the-server-elsewhere"
CONFIG = f"""
models:
  - {{name: echo, engine: echo, price: {{prompt: 1, completion: 1000}}}}
  - {{name: slow, engine: echo, engine_args: {{tokens_per_s: 20, journal: "%(journal)s"}}}}
  - name: single
    engine: echo
    engine_args: {{tokens_per_s: 20, journal: "%(journal)s"}}
    replicas: {{min: 1, max: 1, max_ongoing_requests: 1, max_queued_requests: 64}}
  - {{name: elsewhere, engine: upstream, engine_args: {{base_url: "%(elsewhere)s", api_key_env: PROVIDERS_KEY}}}}
  # No machine has room for these: what they must refuse is refused before an engine is asked.
  - {{name: never-embed, engine: echo, task: embed, resources: {{num_gpus: 512}}}}
  - {{name: never-hear, engine: echo, task: transcribe, resources: {{num_gpus: 512}}}}
  - name: never-score
    engine: upstream
    task: score
    engine_args: {{base_url: "%(elsewhere)s"}}
    resources: {{num_gpus: 512}}
  - {{name: never-tokens, engine: transformers, source: ./nothing, resources: {{num_gpus: 512}}}}
gateway:
  replicas: 2
  grpc_port: %(grpc_port)d
  bounds: {{assumed_completion_tokens: {ASSUMED_TOKENS}}}
batches: {{quiet_s: 0}}
database_url: %(database)s
identity:
  issuer: {ISSUER}
  audience: {AUDIENCE}
  jwks: issuer.json
  leeway_s: 0
  claims: {{project: department, scopes: scope, models: models}}
"""
OPEN = ["sh", "-c", 'umask 0; exec "$@"', "sh"]
EVERYTHING = ["inference", "read-usage", "metrics", "admin"]


@dataclass(frozen=True)
class Cluster:
    """The running instance, and who may change its keys.

    Attributes:
        grpc_address: where gRPC clients connect.
        there: the server elsewhere.
        journal: a file with a line for each token of the engines that have a pace: the id of its request.
        database: the URL of the database.
    """

    running: Raygate
    admin: httpx.Client
    grpc_address: str
    there: Elsewhere
    journal: Path
    database: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def key(self, **fields: Any) -> "Holder":
        """Make a key that both replicas know."""
        made = self._made("keys", {"name": f"key-{next(self._numbers)}", **fields})
        holder = Holder(self, made, self.running.client(made["secret"], timeout_s=30))
        await_known(self.running, holder.secret)
        return holder

    def tokens(self) -> list[str]:
        """Return what the journal has, token by token."""
        return self.journal.read_text().splitlines() if self.journal.exists() else []

    def project(self, **fields: Any) -> str:
        """Make a project; return its id."""
        return str(self._made("projects", {"name": f"project-{next(self._numbers)}", **fields})["id"])

    def _made(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        made = self.admin.post(f"/admin/v1/{kind}", json=body)
        assert made.status_code == 201, made.text
        return dict(made.json())


@dataclass(frozen=True)
class Holder:
    """A key, and a client that shows it."""

    cluster: Cluster
    key: dict[str, Any]
    http: httpx.Client

    @property
    def secret(self) -> str:
        return str(self.key["secret"])

    @property
    def metadata(self) -> list[tuple[str, str]]:
        """How gRPC clients show it."""
        return [("authorization", f"Bearer {self.secret}")]

    def ask(self, path: str, **fields: Any) -> httpx.Response:
        """Ask a model at an endpoint; a transcription is an upload."""
        asking = ASKING[path]
        if "transcriptions" in path:
            form = {name: (None, str(value)) for name, value in {"model": asking.model, **fields}.items()}
            return self.http.post(path, files={**form, "file": ("talk.wav", b"words")})
        return self.http.post(path, json={"model": asking.model, **asking.body, **fields})

    def upload(self, *lines: Any) -> str:
        """Store a file of JSON lines; return its id."""
        data = "\n".join(json.dumps(line) for line in lines)
        made = self.http.post("/v1/files", files={"file": ("a.jsonl", data), "purpose": (None, "batch")})
        assert made.status_code == 200, made.text
        return str(made.json()["id"])

    def batch(self, path: str, *bodies: dict[str, Any]) -> str:
        """Make a batch of such requests; return its id."""
        lines = [{"custom_id": str(n), "method": "POST", "url": path, "body": body} for n, body in enumerate(bodies)]
        new = {"input_file_id": self.upload(*lines), "endpoint": path, "completion_window": "24h"}
        made = self.http.post("/v1/batches", json=new)
        assert made.status_code == 200, made.text
        return str(made.json()["id"])


def await_known(running: Raygate, secret: str) -> None:
    """Wait until both replicas know a key; each connection goes to the next of them."""
    shown = {"authorization": f"Bearer {secret}"}

    def is_known() -> bool:
        return "models" in httpx.get(f"{running.url}/readyz", headers=shown).json()

    assert within(5, lambda: all(is_known() for _ in range(8)))


def over_grpc(chat: ChatStub, endpoint: str, holder: Holder, model: str = "echo", **extra: Any) -> list[Any]:
    """Ask over gRPC, with such further fields; return the answer, or its chunks."""
    request = ChatRequest(model=model, messages=[ChatMessage(role="user", content="hello")], max_tokens=1)
    request.extra.update(extra)
    answer = getattr(chat, endpoint.rpartition("/")[2])(request, metadata=holder.metadata, timeout=30)
    return list(answer) if endpoint.endswith("Stream") else [answer]


def ended(holder: Holder, batch: str) -> dict[str, Any]:
    """Return a batch once it has ended."""
    found: list[dict[str, Any]] = []

    def has_ended() -> bool:
        found.append(holder.http.get(f"/v1/batches/{batch}").json())
        return found[-1]["status"] in {"completed", "failed", "cancelled", "expired"}

    assert within(20, has_ended), found[-1]
    return found[-1]


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("security")
    (folder / "nothing").mkdir()
    (folder / "nothing" / "config.json").write_text("{}")
    (folder / "issuer.json").write_bytes(published(rsa=RSA))
    port = free_port()
    with contextlib.ExitStack() as stack:
        there = stack.enter_context(elsewhere())
        journal = folder / "journal"
        config, home = folder / "security.yaml", folder / "home"
        database = f"sqlite:///{home / 'raygate.db'}"
        config.write_text(
            CONFIG % {"elsewhere": there.url, "grpc_port": port, "journal": journal, "database": database}
        )
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("PROVIDERS_KEY", PROVIDERS_KEY)
        running = stack.enter_context(raygate(config, home, ready=False, wrapper=OPEN))
        _await_models(running)
        made = running.raygate("keys", "create", "root", "--scope", "admin", "--json")
        admin = stack.enter_context(running.client(json.loads(made.stdout)["secret"]))
        await_known(running, json.loads(made.stdout)["secret"])
        yield Cluster(running, admin, f"127.0.0.1:{port}", there, journal, database)


def _await_models(running: Raygate) -> None:
    """Wait until every model is ready but those that never will be."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        assert running.process.poll() is None, running.output.read_text()
        with contextlib.suppress(httpx.TransportError):
            shown = httpx.get(f"{running.url}/readyz", headers={"authorization": f"Bearer {KEY}"}, timeout=5)
            states = {name: each["state"] for name, each in shown.json().get("models", {}).items()}
            if states and all(name.startswith("never") or state == "ready" for name, state in states.items()):
                return
        time.sleep(0.2)
    raise AssertionError(running.output.read_text())


@pytest.fixture(scope="package")
def chat(cluster: Cluster) -> Iterator[ChatStub]:
    with grpc.insecure_channel(cluster.grpc_address) as channel:
        yield ChatStub(channel)


@pytest.fixture(scope="package")
def holder(cluster: Cluster) -> Holder:
    """A key that may ask everything."""
    return cluster.key()
