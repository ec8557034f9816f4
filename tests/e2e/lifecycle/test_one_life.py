"""One installation from its first start to its last: what it shows, opens, survives, and leaves behind.

The tests follow its life, in the file's order.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import grpc  # type: ignore[import-untyped]
import httpx
import psutil
import pytest

from tests.e2e.figures import running
from tests.e2e.lifecycle import offline
from tests.e2e.lifecycle.contract import error_of
from tests.e2e.running import RAYGATE, Ended, Raygate, direct_ports, raygate
from tests.e2e.waiting import within

GATEWAYS = 2
CONFIG = f"""
models:
  - name: echo
    engine: echo
  - name: slow
    engine: echo
    engine_args: {{first_token_s: 8}}
gateway:
  replicas: {GATEWAYS}
  bounds: {{body_timeout_s: 1}}
"""
CHAT = "/v1/chat/completions"
HELLO = {"model": "echo", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 1}
SLOW = json.dumps({**HELLO, "model": "slow"}).encode()
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: raygate\r\nContent-Type: application/json\r\n"
GREETED = "Ctrl-C stops it."
HEADERS_TIMEOUT_S = 30
PAUSE_S = 6
"""What HAProxy grants a client, given the configuration's time for a body."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("life") / "home"


@pytest.fixture(scope="module")
def config(home: Path) -> Path:
    file = home.with_name("echo.yaml")
    file.write_text(CONFIG)
    return file


@pytest.fixture(scope="module")
def first(config: Path, home: Path) -> Iterator[Raygate]:
    """The first start, to which nobody gave a key."""
    with raygate(config, home, ready=False, key=None) as running:
        running.await_output(GREETED)
        yield running


@pytest.fixture(scope="module")
def key(first: Raygate) -> str:
    return str(re.findall(r"sk-[\w-]{43}", first.output.read_text())[0])


@pytest.fixture(scope="module")
def unfinished(first: Raygate) -> Iterator[socket.socket]:
    """A client that began to send headers when everything was new, and never went on."""
    with socket.create_connection(("127.0.0.1", first.port)) as client:
        client.sendall(HEAD)
        yield client


@pytest.fixture
def http(first: Raygate, key: str) -> Iterator[httpx.Client]:
    with first.client(key) as client:
        yield client


def files(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file()]


def holding(home: Path, text: str) -> list[Path]:
    return [path for path in files(home) if text.encode() in path.read_bytes()]


@pytest.mark.usefixtures("unfinished")
def test_the_first_start_shows_one_key_once_and_it_works(first: Raygate, key: str, http: httpx.Client) -> None:
    said = first.output.read_text()
    assert said.count("API key ") == said.count("shown only this once") == 1
    assert set(re.findall(r"sk-[\w-]+", said)) == {key}
    assert http.post(CHAT, json=HELLO).status_code == 200


def test_the_database_and_the_secrets_are_for_their_owner_alone(home: Path) -> None:
    private = [*home.glob("raygate.db*"), *(home / "secrets").iterdir()]
    readable = [path.name for path in private if path.stat().st_mode & 0o077 and path.stat().st_size]
    assert (home / "raygate.db") in private
    assert readable == []
    assert (home / "secrets").stat().st_mode & 0o077 == 0


def test_the_keys_text_is_nowhere_in_the_home(home: Path, key: str) -> None:
    assert holding(home, key) == []


def listening(running: Raygate, *words: str) -> set[tuple[str, int]]:
    """Return the addresses and ports on which its processes take connections."""
    found = set()
    for process in running.processes(*words):
        with contextlib.suppress(psutil.NoSuchProcess):  # Ray keeps idle workers only for a while
            found |= {each.laddr for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN}
    return {(address.ip.removeprefix("::ffff:"), address.port) for address in found}


def test_haproxy_takes_nothing_from_other_machines_but_clients(first: Raygate) -> None:
    addresses = listening(first, "haproxy.cfg")
    assert len(addresses) == 3
    assert {port for ip, port in addresses if ip != "127.0.0.1"} == {first.port}


def test_what_replicas_and_ray_open_is_for_this_machine_or_wants_a_token(first: Raygate) -> None:
    inner = {(ip, port) for ip, port in listening(first) if port != first.port}
    open_to_others = {port for ip, port in inner if ip != "127.0.0.1"}
    assert len(inner - {("::", port) for port in open_to_others}) > 10
    assert open_to_others == {port for ip, port in listening(first, "ServeReplica:") if ip == "::"}
    assert {status_of_a_call(port) for port in open_to_others} == {grpc.StatusCode.UNAUTHENTICATED}


def status_of_a_call(port: int) -> grpc.StatusCode:
    """Return how Serve's gRPC port of a replica, by which handles call it, answers a stranger."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/ray.serve.ASGIService/HandleRequest")
        error = call.future(b"", timeout=10).exception()
    assert isinstance(error, grpc.RpcError)
    return error.code()


def answer_to(port: int, request: bytes, limit_s: float) -> bytes:
    """Return everything that comes back until the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=limit_s) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_a_body_that_never_ends_is_a_400_in_the_contract_and_closed(first: Raygate, key: str) -> None:
    request = HEAD + f"Authorization: Bearer {key}\r\nContent-Length: 1000\r\n\r\n".encode() + b'{"model":'
    head, _, body = answer_to(first.port, request, limit_s=15).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"x-request-id: " in head
    assert json.loads(body)["error"] == {
        "message": "The request body did not arrive within 1 seconds.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


def kill_gateways(running: Raygate) -> None:
    """Kill every gateway; until a dying one is gone it may still take connections."""
    gateways = running.processes("ServeReplica:gateway")
    for gateway in gateways:
        gateway.kill()
    _, alive = psutil.wait_procs(gateways, timeout=30)
    assert alive == []


def takes_requests(gateway: psutil.Process) -> bool:
    """Say whether HAProxy has a connection to a gateway."""
    with contextlib.suppress(psutil.NoSuchProcess):
        connections, ports = gateway.net_connections("tcp"), direct_ports(gateway)
        return any(each.status == psutil.CONN_ESTABLISHED and each.laddr.port in ports for each in connections)
    return False


def answers_until_gateways_are_back(running: Raygate, key: str) -> list[httpx.Response]:
    """Return the answers to one request, made again and again until every gateway is there and says that it is ready.

    Each has a connection of its own: HAProxy, which reloads when gateways come and go, closes those that are idle.
    """
    answers: list[httpx.Response] = []

    def is_served() -> bool:
        with running.client(key) as client:
            answers.append(client.post(CHAT, json=HELLO))
            return answers[-1].is_success and client.get("/readyz").is_success

    def are_back() -> bool:
        if not all(is_served() for _ in range(4 * GATEWAYS)):
            return False
        return list(map(takes_requests, running.processes("ServeReplica:gateway"))) == [True] * GATEWAYS

    assert within(90, are_back)
    return answers


def test_without_any_gateway_haproxy_speaks_the_contract_until_one_is_back(first: Raygate, key: str) -> None:
    (controller,) = first.processes("ServeController")
    controller.suspend()  # so that no gateway comes back before the question
    try:
        kill_gateways(first)
        with first.client(key, timeout_s=10) as client:
            refused = client.post(CHAT, json=HELLO)
    finally:
        controller.resume()
        meanwhile = answers_until_gateways_are_back(first, key)
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "5"
    assert error_of(refused)["code"] == "server_is_overloaded"
    assert {answer.status_code for answer in meanwhile} <= {200, 503}


def test_a_clients_first_request_whose_gateway_dies_is_told_so(first: Raygate, key: str) -> None:
    asked = HEAD + f"Authorization: Bearer {key}\r\nContent-Length: {len(SLOW)}\r\n\r\n".encode() + SLOW
    with socket.create_connection(("127.0.0.1", first.port), timeout=30) as client, first.client(key) as http:
        client.sendall(asked)
        assert within(10, lambda: running(http, "slow") == 1)
        kill_gateways(first)
        head, _, body = client.recv(65536).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 ")
    assert b"x-request-id: " in head
    assert json.loads(body)["error"]["type"] == "server_error"
    assert {answer.status_code for answer in answers_until_gateways_are_back(first, key)} <= {200, 503}


def test_a_client_may_wait_for_its_answer_longer_than_it_may_pause(http: httpx.Client) -> None:
    begun = time.monotonic()
    assert http.post(CHAT, json={**HELLO, "model": "slow"}).status_code == 200
    assert time.monotonic() - begun > PAUSE_S


def test_headers_that_never_end_are_closed_without_an_answer(unfinished: socket.socket) -> None:
    unfinished.settimeout(HEADERS_TIMEOUT_S + 5)
    assert unfinished.recv(1) == b""


@pytest.fixture(scope="module")
def stopped(first: Raygate) -> Ended:
    return first.stop(signal.SIGTERM)


def test_sigterm_ends_it_in_time_with_0_and_without_a_process_left(stopped: Ended) -> None:
    assert stopped.code == 0
    assert stopped.took_s < 15
    assert stopped.left == []


def test_after_the_end_its_port_is_free(first: Raygate, stopped: Ended) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("0.0.0.0", first.port))


def test_the_logs_that_it_leaves_do_not_hold_the_key(home: Path, key: str, stopped: Ended) -> None:
    assert (home / "logs" / "ray").is_dir()
    assert holding(home, key) == []


@pytest.fixture(scope="module")
def second(config: Path, home: Path, stopped: Ended, namespaces: None) -> Iterator[Raygate]:
    """The second start on the same home, on a machine without a network."""
    with raygate(config, home, ready=False, key=None, wrapper=offline.OFFLINE) as running:
        running.await_output(GREETED)
        yield running


def test_the_second_start_needs_no_network_and_shows_no_key(second: Raygate) -> None:
    said = second.output.read_text()
    assert "API key " not in said
    assert "sk-" not in said


def test_the_first_key_still_works_after_the_second_start(second: Raygate, key: str) -> None:
    chat = [*offline.beside(second.process.pid), str(RAYGATE), "chat", "-m", "echo", "still here"]
    env = {**os.environ, "RAYGATE_BASE_URL": second.url, "RAYGATE_API_KEY": key}
    said = subprocess.run(chat, env=env, capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout.startswith("still here")


@pytest.fixture(scope="module")
def interrupted(second: Raygate) -> Ended:
    return second.stop(signal.SIGINT)


def test_ctrl_c_ends_it_in_time_with_0_and_without_a_process_left(interrupted: Ended) -> None:
    assert interrupted.code == 0
    assert interrupted.took_s < 15
    assert interrupted.left == []
