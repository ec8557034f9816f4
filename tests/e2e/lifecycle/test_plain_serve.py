"""What Raygate compiles to runs under Ray's own ``serve run`` as well, with HAProxy in front and without."""

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import httpx
import pytest

from tests.e2e.lifecycle.contract import error_of
from tests.e2e.running import (
    RAYGATE,
    REPOSITORY,
    Raygate,
    await_ready,
    direct_ports,
    environment,
    free_port,
    start_lock,
    with_run_id,
)

SERVE = RAYGATE.with_name("serve")
CONFIG = """
models:
  - name: echo
    engine: echo
  - name: busy
    engine: echo
    engine_args: {tokens_per_s: 20}
    replicas: {min: 1, max: 1, max_ongoing_requests: 1, max_queued_requests: 1}
"""
DOCUMENTED = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
HAPROXYS_PORTS = ("RAY_SERVE_HAPROXY_METRICS_PORT", "RAY_SERVE_HAPROXY_STATS_PORT")
CHAT = "/v1/chat/completions"
HELLO = {"model": "echo", "messages": [{"role": "user", "content": "one two"}], "max_tokens": 3}
LONG = {**HELLO, "model": "busy", "max_tokens": 2000, "stream": True}


@contextlib.contextmanager
def serve_run(folder: Path, **settings: str) -> Iterator[Raygate]:
    """Run ``serve run`` on what the configuration compiles to, and end whatever outlives it."""
    port, home = free_port(), folder / "home"
    config, compiled, output = folder / "echo.yaml", folder / "serve.yaml", folder / "output.txt"
    config.write_text(f"{CONFIG}gateway: {{port: {port}}}\n")
    compiled.write_bytes(subprocess.run([RAYGATE, "config", config, "--serve"], capture_output=True, check=True).stdout)
    env = {**environment(home, None), "RAYGATE_RUN_ID": str(folder), "RAY_USAGE_STATS_ENABLED": "0", **settings}
    starting = start_lock()
    starting.acquire()
    with output.open("wb") as sink:
        process = subprocess.Popen([SERVE, "run", compiled], env=env, stdout=sink, stderr=sink, cwd=REPOSITORY)
    running = Raygate(process, port, home, output)
    try:
        await_ready(running)
        starting.release()
        yield running
    finally:
        starting.release()
        process.terminate()
        process.wait(timeout=60)
        for left in with_run_id(str(folder)):
            left.kill()


@contextlib.contextmanager
def client_with_a_new_key(running: Raygate) -> Iterator[httpx.Client]:
    made = json.loads(running.raygate("keys", "create", "mine", "--json").stdout)
    with running.client(made["secret"]) as client:
        deadline = time.monotonic() + 5
        while client.get("/v1/models").status_code == 401 and time.monotonic() < deadline:
            time.sleep(0.1)
        yield client


def engines_ports(running: Raygate) -> set[int]:
    """Return the ports of their own on which engine replicas take requests."""
    engines = running.processes("ServeReplica:model-")
    assert engines
    return set().union(*map(direct_ports, engines))


def left_after_end(running: Raygate) -> list[str]:
    """End it with SIGTERM; return what still lives when its last helpers have had time to notice."""
    run_id = running.run_id
    running.process.terminate()
    running.process.wait(timeout=30)
    deadline = time.monotonic() + 15
    while with_run_id(run_id) and time.monotonic() < deadline:
        time.sleep(0.2)
    return [" ".join(process.cmdline()) for process in with_run_id(run_id)]


def text_of(stream: httpx.Response) -> str:
    *events, done = [line.removeprefix("data: ") for line in stream.text.splitlines() if line]
    assert done == "[DONE]"
    return "".join(json.loads(event)["choices"][0]["delta"].get("content", "") for event in events)


def test_serve_run_with_haproxy_serves_the_direct_path_and_ends_clean(tmp_path: Path) -> None:
    ports = {name: str(free_port()) for name in HAPROXYS_PORTS}  # others may run on this machine
    with serve_run(tmp_path, **DOCUMENTED, **ports) as running, client_with_a_new_key(running) as http:
        assert http.post(CHAT, json=HELLO).json()["choices"][0]["message"]["content"] == "one two one"
        assert text_of(http.post(CHAT, json={**HELLO, "stream": True})) == "one two one"
        assert error_of(http.post(CHAT, json={**HELLO, "model": "none"}))["code"] == "model_not_found"
        assert len(engines_ports(running)) == 2
        assert left_after_end(running) == []


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Raygate]:
    """Ray Serve without HAProxy: replicas have no ports of their own, and only a handle reaches them."""
    with serve_run(tmp_path_factory.mktemp("ordinary")) as running:
        assert engines_ports(running) == set()
        yield running


@pytest.fixture(scope="module")
def http(ordinary: Raygate) -> Iterator[httpx.Client]:
    with client_with_a_new_key(ordinary) as client:
        yield client


@pytest.mark.parametrize("stream", [True, False])
def test_without_direct_ports_a_handle_carries_the_answer(http: httpx.Client, stream: bool) -> None:
    answer = http.post(CHAT, json={**HELLO, "stream": stream})
    text = text_of(answer) if stream else answer.json()["choices"][0]["message"]["content"]
    assert answer.status_code == 200
    assert text == "one two one"


def test_over_a_handle_an_engines_refusal_keeps_its_status_and_field(http: httpx.Client) -> None:
    refused = http.post(CHAT, json={**HELLO, "messages": [], "stream": True})
    assert refused.status_code == 400
    assert error_of(refused)["param"] == "messages"


def test_over_a_handle_a_busy_model_is_a_503_in_the_contract(http: httpx.Client) -> None:
    short = {**LONG, "stream": False, "max_tokens": 1}
    with ThreadPoolExecutor() as pool, http.stream("POST", CHAT, json=LONG) as running:
        lines = running.iter_lines()
        next(lines)
        answers = as_completed([pool.submit(http.post, CHAT, json=short) for _ in range(4)], timeout=10)
        refused = [next(answers).result() for _ in range(3)]
        del lines
        running.close()
        queued = next(answers).result()
    assert {answer.status_code for answer in refused} == {503}
    assert {error_of(answer)["code"] for answer in refused} == {"server_is_overloaded"}
    assert queued.status_code == 200


def test_over_a_handle_a_killed_engine_ends_its_stream_with_an_error_event(
    ordinary: Raygate, http: httpx.Client
) -> None:
    with http.stream("POST", CHAT, json=LONG) as response:
        lines = response.iter_lines()
        next(line for line in lines if '"content":"one' in line)
        (engine,) = ordinary.processes("ServeReplica:model-busy:engine")
        engine.kill()
        *_, error, _, done, _ = lines
    assert json.loads(error.removeprefix("data: "))["error"]["type"] == "server_error"
    assert done == "data: [DONE]"


def test_without_haproxy_it_ends_clean_as_well(ordinary: Raygate, http: httpx.Client) -> None:
    assert left_after_end(ordinary) == []
