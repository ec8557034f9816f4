"""Echo models with prices behind two gateway replicas, an admin, and an issuer of tokens for people without a key."""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.e2e.running import Raygate, raygate
from tests.issuer import AUDIENCE, ISSUER, RSA, published

CONFIG = """
models:
  - name: echo
    engine: echo
    price: {{prompt: 1, completion: 1000}}
  - name: slow
    engine: echo
    engine_args: {{tokens_per_s: 50}}
  - name: single
    engine: echo
    engine_args: {{tokens_per_s: 20}}
    replicas: {{min: 1, max: 1, max_ongoing_requests: 1, max_queued_requests: 8}}
gateway:
  replicas: 2
identity:
  issuer: {issuer}
  audience: {audience}
  jwks: issuer.json
  claims: {{project: department, scopes: scope, limits: limits}}
"""
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Raygate]:
    home = tmp_path_factory.mktemp("admin")
    config = home / "admin.yaml"
    config.write_text(CONFIG.format(issuer=ISSUER, audience=AUDIENCE))
    (home / "issuer.json").write_bytes(published(rsa=RSA))
    with raygate(config, home) as started:
        yield started


@pytest.fixture(scope="package")
def admin(running: Raygate) -> Iterator[httpx.Client]:
    """A client with an admin's key."""
    made = running.raygate("keys", "create", "root", "--scope", "admin", "--json")
    with running.client(json.loads(made.stdout)["secret"]) as client:
        while client.get("/admin/v1/keys").status_code != 200:
            pass  # each of the two replicas learns of it within a second
        yield client


@dataclass(frozen=True)
class User:
    """A key, and a client that shows it."""

    key: dict[str, Any]
    http: httpx.Client

    def chat(self, model: str = "echo", max_tokens: int = 1, **fields: object) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "word"}], "max_tokens": max_tokens, **fields}
        return self.http.post(CHAT, json=body)


@pytest.fixture
def user(running: Raygate, admin: httpx.Client) -> Iterator[Callable[..., User]]:
    """Return a function that makes a key over HTTP, and waits until both replicas know it."""
    numbers, clients = itertools.count(), []

    def make(**fields: object) -> User:
        name = f"user-{next(numbers)}-{len(admin.get('/admin/v1/keys', params={'limit': 100}).json()['data'])}"
        made = admin.post("/admin/v1/keys", json={"name": name, **fields})
        assert made.status_code == 201, made.text
        clients.append(client := running.client(made.json()["secret"]))
        known = 0
        while known < 8:
            known = known + 1 if client.get("/v1/models").status_code == 200 else 0
        return User(made.json(), client)

    yield make
    for client in clients:
        client.close()
