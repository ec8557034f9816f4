"""What every pipeline has: the models that it asks may fail, and the client that asks it may leave."""

import asyncio
import contextlib
import json

import httpx
import pytest

from tests.e2e.figures import running
from tests.e2e.running import KEY, Raygate
from tests.e2e.waiting import within

CHAT = "/v1/chat/completions"
QUESTION = {"messages": [{"role": "user", "content": "How do I revoke a key?"}]}


def test_a_class_of_ones_own_is_a_model_and_may_ask_another_pipeline(http: httpx.Client) -> None:
    answer = http.post(CHAT, json={**QUESTION, "model": "signed", "max_tokens": 3}).json()
    text = answer["choices"][0]["message"]["content"]
    assert "Sources: [1] keys.md" in text
    assert text.endswith(" Yours.")
    assert answer["model"] == "signed"
    assert answer["usage"]["completion_tokens"] == 3


def test_a_pipeline_is_listed_with_what_it_serves(http: httpx.Client) -> None:
    told = http.get("/v1/models/docs").json()
    assert CHAT in told["endpoints"]
    assert told["capabilities"] == ["streaming"]
    assert http.post("/v1/embeddings", json={"model": "docs", "input": "text"}).status_code == 404


def test_what_a_pipeline_cannot_honour_is_refused_by_name(http: httpx.Client) -> None:
    refused = http.post(CHAT, json={**QUESTION, "model": "docs", "n": 2})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "n")


@pytest.mark.parametrize("stream", [True, False])
def test_when_a_client_leaves_the_model_behind_the_pipeline_stops(
    http: httpx.Client, pipelines: Raygate, stream: bool
) -> None:
    async def leave_early() -> None:
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=pipelines.url, headers=headers, timeout=60) as client:
            asking = asyncio.create_task(client.post(CHAT, json={**QUESTION, "model": "slow-docs", "stream": stream}))
            assert await asyncio.to_thread(within, 20, lambda: running(http, "slow") == 1)
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking

    asyncio.run(leave_early())
    assert within(3, lambda: running(http, "slow") == 0)
    assert within(3, lambda: running(http, "slow-docs") == 0)


def test_a_model_that_dies_ends_the_stream_with_an_error_and_is_told_as_loading_until_it_is_back(
    http: httpx.Client, pipelines: Raygate
) -> None:
    question = {**QUESTION, "model": "slow-docs"}
    with http.stream("POST", CHAT, json={**question, "stream": True}) as response:
        lines = response.iter_lines()
        next(line for line in lines if '"content":"' in line and '"role"' not in line)
        (engine,) = pipelines.processes("ServeReplica:model-slow:engine")
        engine.kill()
        *_, error, _, done, _ = lines
    assert json.loads(error.removeprefix("data: "))["error"]["type"] == "server_error"
    assert done == "data: [DONE]"

    def code() -> str | None:
        answer = http.post(CHAT, json={**question, "max_tokens": 1})
        return answer.json()["error"]["code"] if answer.status_code == 503 else None

    assert within(20, lambda: code() == "model_loading")
    assert within(60, lambda: http.post(CHAT, json={**question, "max_tokens": 1}).status_code == 200)


def test_nothing_that_is_asked_or_answered_is_logged(http: httpx.Client, pipelines: Raygate) -> None:
    canary = "canary-90d2"
    body = {"model": "signed", "messages": [{"role": "user", "content": f"How do I revoke a key? {canary}"}]}
    assert canary in http.post(CHAT, json=body).text
    assert canary not in pipelines.logs()
