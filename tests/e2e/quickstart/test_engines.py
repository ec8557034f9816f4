"""What both engines owe: an end to work that nobody waits for, a way back, and 400s for what they cannot do."""

import asyncio
import contextlib
import json

import httpx
import psutil
import pytest

from tests.e2e.figures import figure, running
from tests.e2e.running import KEY, Raygate
from tests.e2e.waiting import within

CHAT = "/v1/chat/completions"
STORY = {"messages": [{"role": "user", "content": "Tell me a very long story."}], "max_tokens": 1500, "temperature": 0}


def engine_requests(http: httpx.Client, model: str) -> tuple[float, float]:
    """Return the engine's own counts: running and queued."""
    return running(http, model), figure(http, "raygate_engine_requests_queued", model)


async def leave_early(quickstart: Raygate, body: dict[str, object], clients: int) -> None:
    """Ask so many times at once, and hang up after a second and a half."""

    async def ask(client: httpx.AsyncClient) -> None:
        async with client.stream("POST", CHAT, json=body) as response:
            await response.aread()

    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=quickstart.url, headers=headers) as client:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.5):
                await asyncio.gather(*(ask(client) for _ in range(clients)))


@pytest.mark.parametrize("stream", [True, False])
def test_when_a_client_leaves_its_engine_stops_within_a_second(
    quickstart: Raygate, http: httpx.Client, model: str, stream: bool
) -> None:
    asyncio.run(leave_early(quickstart, {**STORY, "model": model, "stream": stream}, clients=1))
    assert within(1, lambda: engine_requests(http, model) == (0, 0))


def test_clients_that_leave_while_queued_leave_nothing_behind(quickstart: Raygate, http: httpx.Client) -> None:
    # The Transformers engine runs 16 at a time.
    asyncio.run(leave_early(quickstart, {**STORY, "model": "smollm2-hf", "stream": True}, clients=24))
    assert within(10, lambda: engine_requests(http, "smollm2-hf") == (0, 0))


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("max_tokens", -1, 400),
        ("max_tokens", 100_000, 400),
        ("temperature", "hot", 400),
        ("top_k", "many", 400),
        ("logit_bias", {"not-a-token": 1}, 400),
        ("messages", [{"role": "user", "content": "word " * 20_000}], 400),
        ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}], 400),
        ("response_format", {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nope"}}}, 400),
    ],
)
def test_what_an_engine_cannot_do_is_refused_and_the_engine_stays_up(
    http: httpx.Client, model: str, field: str, value: object, status: int
) -> None:
    response = http.post(CHAT, json={**STORY, "max_tokens": 4, "model": model, field: value})
    assert response.status_code == status
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] is None or isinstance(error["code"], str)
    assert len(error["message"]) < 1000
    assert http.post(CHAT, json={**STORY, "max_tokens": 1, "model": model}).status_code == 200


def test_a_prompt_over_the_context_is_told_in_code_and_text(http: httpx.Client, model: str) -> None:
    long = {"model": model, "messages": [{"role": "user", "content": "word " * 20_000}]}
    error = http.post(CHAT, json=long).json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert "(context_length_exceeded)" in error["message"]


def test_two_requests_may_carry_the_same_id(quickstart: Raygate, model: str) -> None:
    async def twice() -> list[int]:
        headers = {"authorization": f"Bearer {KEY}", "x-request-id": "same"}
        async with httpx.AsyncClient(base_url=quickstart.url, headers=headers, timeout=60) as client:
            body = {**STORY, "model": model, "max_tokens": 20}
            answers = await asyncio.gather(client.post(CHAT, json=body), client.post(CHAT, json=body))
        return [answer.status_code for answer in answers]

    assert asyncio.run(twice()) == [200, 200]


def killed(engines: list[psutil.Process]) -> None:
    for engine in engines:
        engine.kill()


def test_a_dead_engine_core_ends_its_stream_with_an_error_event_and_comes_back(
    quickstart: Raygate, http: httpx.Client
) -> None:
    with http.stream("POST", CHAT, json={**STORY, "model": "smollm2", "stream": True}) as response:
        lines = response.iter_lines()
        next(line for line in lines if '"content":"' in line)
        killed(quickstart.processes("EngineCore"))
        *_, error, _, done, _ = lines
    assert json.loads(error.removeprefix("data: "))["error"]["type"] == "server_error"
    assert done == "data: [DONE]"
    assert http.post(CHAT, json={**STORY, "model": "smollm2-hf", "max_tokens": 1}).status_code == 200
    assert within(15, lambda: http.get("/readyz").json()["models"]["smollm2"]["state"] != "ready")
    assert within(120, lambda: http.get("/readyz").status_code == 200)
    assert http.post(CHAT, json={**STORY, "model": "smollm2", "max_tokens": 1}).status_code == 200


def test_a_killed_transformers_replica_comes_back(quickstart: Raygate, http: httpx.Client) -> None:
    with http.stream("POST", CHAT, json={**STORY, "model": "smollm2-hf", "stream": True}) as response:
        lines = response.iter_lines()
        next(line for line in lines if '"content":"' in line)
        killed(quickstart.processes("ServeReplica:model-smollm2-hf"))
        *_, error, _, done, _ = lines
    assert "error" in json.loads(error.removeprefix("data: "))
    assert done == "data: [DONE]"
    assert within(10, lambda: http.get("/readyz").json()["models"]["smollm2-hf"]["state"] != "ready")
    assert within(120, lambda: http.get("/readyz").status_code == 200)
    assert http.post(CHAT, json={**STORY, "model": "smollm2-hf", "max_tokens": 1}).status_code == 200


def test_vllm_computes_in_its_core_and_nobody_waits_for_it_in_a_busy_loop(quickstart: Raygate) -> None:
    assert len(quickstart.processes("VLLM::EngineCore")) == 1
    assert not quickstart.processes("VLLM::Worker")


def test_the_command_line_shows_what_runs(quickstart: Raygate) -> None:
    assert "smollm2-hf" in quickstart.raygate("models").stdout
    status = quickstart.raygate("status")
    assert status.returncode == 0
    assert "ready" in status.stdout
    assert "Paris" in quickstart.raygate("chat", "-m", "smollm2", "What is the capital of France?").stdout
