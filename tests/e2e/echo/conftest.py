"""The echo engine alone behind two gateway replicas."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from gateway.grpc.chat_pb2_grpc import ChatStub
from tests.e2e.running import Raygate, free_port, raygate

CONFIG = """
models:
  - name: echo
    engine: echo
    replicas: {min: 2, max: 2, max_ongoing_requests: 1000}
  - name: slow
    engine: echo
    engine_args: {tokens_per_s: 50, first_token_s: 0.3}
  - name: busy
    engine: echo
    engine_args: {tokens_per_s: 20}
    replicas: {min: 1, max: 1, max_ongoing_requests: 1, max_queued_requests: 1}
  - name: team/echo
    engine: echo
  - name: vectors
    engine: echo
    task: embed
  - name: ears
    engine: echo
    task: transcribe
  - name: backed
    route: [{model: busy, weight: 1}]
    fallback: [echo]
  - name: either
    route: [{model: vectors, weight: 1}, {model: echo, weight: 1}]
default_model: echo
gateway:
  replicas: 2
  keep_alive_s: 0.1
  trusted_proxies: [127.0.0.88]
"""


@pytest.fixture(scope="package")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Raygate]:
    home = tmp_path_factory.mktemp("echo")
    config = home / "echo.yaml"
    config.write_text(f"{CONFIG}  grpc_port: {free_port()}\n")
    with raygate(Path(config), home) as running:
        yield running


@pytest.fixture
def http(echo: Raygate) -> Iterator[httpx.Client]:
    with echo.client() as client:
        yield client


@pytest.fixture(scope="package")
def channel(echo: Raygate) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(echo.grpc_address) as opened:
        yield opened


@pytest.fixture(scope="package")
def chat(channel: grpc.Channel) -> ChatStub:
    return ChatStub(channel)
