"""The way from a client to an engine and back: disconnects, back-pressure, faults, secrets."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.figures import figure, running
from tests.e2e.running import KEY, Raygate, direct_ports, raygate
from tests.e2e.waiting import within

CHAT = "/v1/chat/completions"
LONG = {"messages": [{"role": "user", "content": "word"}], "max_tokens": 2000}


def await_first(response: httpx.Response) -> Iterator[str]:
    """Return the stream's lines after the first; whoever drops them closes the stream."""
    lines = response.iter_lines()
    next(lines)
    return lines


@pytest.mark.parametrize("stream", [True, False])
def test_when_a_client_leaves_its_engine_stops_within_a_second(http: httpx.Client, echo: Raygate, stream: bool) -> None:
    async def leave_early() -> None:
        async with httpx.AsyncClient(base_url=echo.url, headers={"authorization": f"Bearer {KEY}"}) as client:
            body = {**LONG, "model": "slow", "stream": stream}
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1), client.stream("POST", CHAT, json=body) as response:
                    await response.aread()

    asyncio.run(leave_early())
    assert within(1, lambda: running(http, "slow") == 0)


def test_a_running_request_is_counted_as_running(http: httpx.Client) -> None:
    with http.stream("POST", CHAT, json={**LONG, "model": "slow", "stream": True}) as response:
        lines = await_first(response)
        assert within(10, lambda: running(http, "slow") == 1)
        del lines


@pytest.fixture
def busy(http: httpx.Client) -> Iterator[None]:
    """The model named busy has all that it takes: one running request, and one in its queue."""
    assert within(5, lambda: running(http, "busy") == 0)
    body = {**LONG, "model": "busy", "stream": True}
    with ThreadPoolExecutor() as pool, http.stream("POST", CHAT, json=body) as response:
        lines = await_first(response)
        queued = pool.submit(http.post, CHAT, json={**LONG, "model": "busy", "max_tokens": 1})
        assert within(5, lambda: figure(http, "raygate_requests_in_progress", "busy") == 2)
        yield
        del lines
        response.close()
        assert queued.result().status_code == 200


def test_a_busy_model_answers_503_in_the_contract(http: httpx.Client, busy: None) -> None:
    refused = http.post(CHAT, json={**LONG, "model": "busy"})
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "server_is_overloaded"
    assert int(refused.headers["retry-after"]) >= 1


def test_an_alias_falls_back_before_the_first_byte(http: httpx.Client, busy: None) -> None:
    answer = http.post(CHAT, json={**LONG, "model": "backed", "max_tokens": 1})
    assert answer.json()["model"] == "echo"


def test_an_engines_own_port_answers_nothing_without_the_internal_token(echo: Raygate) -> None:
    engines = echo.processes("ServeReplica:model-echo:engine")
    ports = set().union(*map(direct_ports, engines))
    answers = [httpx.post(f"http://127.0.0.1:{port}{CHAT}", json=LONG) for port in ports]
    assert len(answers) == 2
    assert {answer.status_code for answer in answers} == {404}


def test_another_raygate_on_the_machine_has_ports_of_its_own(http: httpx.Client, echo: Raygate, tmp_path: Path) -> None:
    config = tmp_path / "other.yaml"
    config.write_text("models: [{name: other, engine: echo}]")
    with raygate(config, tmp_path / "home") as other, other.client() as beside:
        replicas = [each.processes("ServeReplica:") for each in (echo, other)]
        ours, theirs = (set().union(*map(direct_ports, some)) for some in replicas)
        assert max(ours) + 1 < min(theirs) or max(theirs) + 1 < min(ours)
        assert beside.post(CHAT, json={**LONG, "model": "other", "max_tokens": 1}).status_code == 200
        assert http.post(CHAT, json={**LONG, "model": "echo", "max_tokens": 1}).status_code == 200
    assert http.post(CHAT, json={**LONG, "model": "echo", "max_tokens": 1}).status_code == 200


def test_a_killed_replica_ends_its_stream_with_an_error_event_and_comes_back(http: httpx.Client, echo: Raygate) -> None:
    with http.stream("POST", CHAT, json={**LONG, "model": "slow", "stream": True}) as response:
        lines = response.iter_lines()
        next(line for line in lines if '"content":"word' in line)
        (engine,) = echo.processes("ServeReplica:model-slow:engine")
        engine.kill()
        *_, error, _, done, _ = lines
    assert json.loads(error.removeprefix("data: "))["error"]["type"] == "server_error"
    assert done == "data: [DONE]"
    assert within(5, lambda: http.get("/readyz").json()["models"]["slow"]["state"] != "ready")
    meanwhile = http.post(CHAT, json={**LONG, "model": "slow", "max_tokens": 1})
    assert meanwhile.status_code in {200, 503}
    assert http.post(CHAT, json={**LONG, "model": "echo", "max_tokens": 1}).status_code == 200
    assert within(60, lambda: http.get("/readyz").status_code == 200)
    # The other gateway's picture may be half a second old.
    assert within(5, lambda: http.post(CHAT, json={**LONG, "model": "slow", "max_tokens": 1}).status_code == 200)


def test_a_revoked_key_stops_working_within_a_second(echo: Raygate) -> None:
    made = json.loads(echo.raygate("keys", "create", "short-lived", "--json").stdout)
    with echo.client(made["secret"]) as client:
        assert within(5, lambda: client.get("/v1/models").status_code == 200)
        assert echo.raygate("keys", "revoke", made["id"]).returncode == 0
        assert within(1, lambda: client.get("/v1/models").status_code == 401)


def test_nothing_that_clients_send_is_logged(http: httpx.Client, echo: Raygate) -> None:
    canary = "canary-7f3a9"
    body = {"model": "echo", "messages": [{"role": "user", "content": canary}], "user": canary, "stream": True}
    assert canary in http.post(CHAT, json=body).text
    http.post(CHAT, json={**body, "temperature": canary})
    http.post(CHAT, content=canary.encode(), headers={"content-type": "application/json"})
    http.get(f"/v1/models/{canary}", headers={"authorization": f"Bearer {canary}"})
    http.get(f"/{canary}")
    logs = echo.logs()
    assert canary not in logs
    assert KEY not in logs


def test_metrics_need_a_key(echo: Raygate, http: httpx.Client) -> None:
    assert httpx.get(f"{echo.url}/metrics").status_code == 401
    http.post(CHAT, json={**LONG, "model": "echo", "max_tokens": 5})
    families = {family.name for family in text_string_to_metric_families(http.get("/metrics").text)}
    assert {"raygate_requests", "raygate_completion_tokens", "raygate_time_to_first_token_seconds"} <= families


def test_a_scrape_says_which_engine_does_not_answer(echo: Raygate, http: httpx.Client) -> None:
    def up() -> list[float]:
        families = text_string_to_metric_families(http.get("/metrics").text)
        return [sample.value for family in families if family.name == "raygate_engine_up" for sample in family.samples]

    assert set(up()) == {1}
    asleep = echo.processes("ServeReplica:model-echo:engine")[0]
    asleep.suspend()
    try:
        assert within(10, lambda: 0 in up())
    finally:
        asleep.resume()
    assert within(10, lambda: set(up()) == {1})
