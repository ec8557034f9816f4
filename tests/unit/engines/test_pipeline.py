"""A pipeline of one's own, around real echo models."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from engines.base import CACHE_SALT_HEADER, EngineStartError
from engines.echo.engine import EchoEngine
from engines.pipeline import ApiError, ChatRequest, Citation, Delta, Models, Pipeline
from engines.pipeline.engine import DEPTH_HEADER, MAX_DEPTH, PipelineEngine
from engines.replica import EngineReplica
from tests.echoes import Cluster


class Signed(Pipeline):
    """Lets one model write, another embed, and signs."""

    async def answer(self, request: ChatRequest, models: Models) -> AsyncGenerator[Delta, None]:
        with models.step("count words", {"words.count": 3}):
            await models.embed("embedder", ["one two", "three"])
        async for delta in models.chat("writer", request.body):
            yield delta
        yield Delta(" Yours.", citations=[Citation(1, 6, "me", "me.md")])


class Careless(Pipeline):
    """Raises, leaves a call open, or asks for a model that is not named."""

    async def answer(self, request: ChatRequest, models: Models) -> AsyncGenerator[Delta, None]:
        match request.question:
            case "raise":
                raise ValueError("secret question")
            case "refuse":
                raise ApiError.invalid("messages", "no")
            case "leave open":
                await anext(models.chat("writer", request.body))
                yield Delta("left")
            case "late":
                yield Delta("begun")
                raise ValueError("secret question")
            case _:
                await models.embed("nobody", ["text"])


@pytest.fixture
async def cluster(tmp_path: Path) -> Cluster:
    cluster = Cluster(tmp_path)
    await cluster.add(EchoEngine(cluster.settings("echo", default_max_tokens=3)))
    await cluster.add(EchoEngine(cluster.settings("slow", first_token_s=0, tokens_per_s=0.01)))
    await cluster.pipeline("signed", Signed, {"writer": "echo", "embedder": "echo"})
    await cluster.pipeline("careless", Careless, {"writer": "slow"})
    await cluster.pipeline("waiting", Signed, {"writer": "absent", "embedder": "echo"})
    await cluster.pipeline("lasting", Signed, {"writer": "slow", "embedder": "echo"})
    await cluster.pipeline("circle", Signed, {"writer": "circle", "embedder": "echo"})
    return cluster


def events(response: httpx.Response) -> list[Any]:
    *data, done, end = response.text.split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in data]


async def test_an_answer_is_what_the_class_yields(cluster: Cluster) -> None:
    answer = (await cluster.post("signed")).json()
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "signed"
    assert answer["choices"][0]["message"]["content"] == "one two three Yours."


async def test_a_stream_says_the_same_as_the_whole(cluster: Cluster) -> None:
    chunks = events(await cluster.post("signed", stream=True))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert [delta["content"] for delta in deltas[1:-1]] == ["one", " two", " three", " Yours."]
    assert deltas[-1] == {}
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1


async def test_the_finish_reason_is_the_models(cluster: Cluster) -> None:
    whole = (await cluster.post("signed")).json()
    chunks = events(await cluster.post("signed", stream=True))
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert whole["choices"][0]["finish_reason"] == "length"  # an echo is always cut off
    assert [reason for reason in reasons if reason] == ["length"]


async def test_the_usage_is_the_sum_of_all_models(cluster: Cluster) -> None:
    whole = (await cluster.post("signed")).json()["usage"]
    *_, last = events(await cluster.post("signed", stream=True, stream_options={"include_usage": True}))
    assert (whole["prompt_tokens"], whole["completion_tokens"], whole["total_tokens"]) == (3 + 3, 3, 9)
    assert (last["choices"], last["usage"]) == ([], whole)


async def test_a_citation_is_an_annotation_at_its_place_in_the_whole_text(cluster: Cluster) -> None:
    message = (await cluster.post("signed")).json()["choices"][0]["message"]
    (annotation,) = message["annotations"]
    cited = annotation["url_citation"]
    assert message["content"][cited["start_index"] : cited["end_index"]] == "Yours"
    assert (annotation["type"], cited["title"], cited["url"]) == ("url_citation", "me", "me.md")


async def test_a_model_sees_the_clients_fields_the_request_id_and_the_projects_salt(cluster: Cluster) -> None:
    await cluster.post("signed", {"x-request-id": "req_7"}, temperature=0.5, cache_salt="pepper")
    (_, headers, body) = cluster.asked[-1]
    assert (body["temperature"], body["model"], "cache_salt" in body) == (0.5, "echo", False)
    assert headers["x-request-id"] == "req_7"
    assert headers[CACHE_SALT_HEADER] == "pepper"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_models_own_error_passes_through(cluster: Cluster, stream: bool) -> None:
    refused = await cluster.post("signed", max_tokens="many", stream=stream)
    assert refused.status_code == 400
    assert (refused.json()["error"]["param"], refused.json()["error"]["code"]) == ("max_tokens", "invalid_value")


async def test_a_model_that_is_not_there_is_a_503(cluster: Cluster) -> None:
    refused = await cluster.post("waiting")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "model_loading")


@pytest.mark.parametrize(
    ("field", "value"), [("n", 2), ("tools", [{"type": "function"}]), ("logprobs", True), ("modalities", ["audio"])]
)
async def test_what_a_pipeline_cannot_honour_is_refused_by_name(cluster: Cluster, field: str, value: Any) -> None:
    refused = await cluster.post("signed", **{field: value})
    assert refused.status_code == 400
    assert (refused.json()["error"]["param"], refused.json()["error"]["code"]) == (field, "unsupported_parameter")


async def test_an_exception_is_a_500_and_its_place_is_logged_but_not_its_words(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    failed = await cluster.post("careless", messages=[{"role": "user", "content": "raise"}])
    assert (failed.status_code, failed.json()["error"]["code"]) == (500, "internal_error")
    assert "ValueError at" in caplog.text
    assert "secret" not in caplog.text + failed.text


async def test_a_pipeline_may_refuse(cluster: Cluster) -> None:
    refused = await cluster.post("careless", messages=[{"role": "user", "content": "refuse"}])
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "messages")


async def test_what_fails_within_a_stream_ends_it_with_an_error_event(cluster: Cluster) -> None:
    chunks = events(await cluster.post("careless", stream=True, messages=[{"role": "user", "content": "late"}]))
    assert chunks[1]["choices"][0]["delta"] == {"content": "begun"}
    assert chunks[-1]["error"]["code"] == "internal_error"


async def test_a_call_that_a_pipeline_leaves_open_ends_with_its_request(cluster: Cluster) -> None:
    answer = await cluster.post("careless", messages=[{"role": "user", "content": "leave open"}])
    assert answer.json()["choices"][0]["message"]["content"] == "left"
    assert cluster.engines["slow"].load().running == 0


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_ends_the_models_work(cluster: Cluster, stream: bool) -> None:
    client = asyncio.create_task(cluster.post("lasting", stream=stream))
    async with asyncio.timeout(5):
        while cluster.engines["slow"].load().running == 0:
            await asyncio.sleep(0)
    client.cancel()
    await asyncio.gather(client, return_exceptions=True)
    assert cluster.engines["slow"].load().running == 0
    assert cluster.engines["lasting"].load().running == 0


async def test_a_pipeline_that_asks_itself_comes_to_an_end(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    failed = await cluster.post("circle")
    depths = [int(headers[DEPTH_HEADER]) for model, headers, _ in cluster.asked if model == "circle"]
    assert failed.status_code == 500
    assert depths == list(range(1, MAX_DEPTH + 1))
    assert "RecursionError" in caplog.text


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ({}, "engine_args.class: Field required"),
        ({"class": "nowhere:Nothing"}, "ModuleNotFoundError: No module named 'nowhere'"),
        ({"class": "json:JSONDecoder"}, "json:JSONDecoder is no subclass of engines.pipeline.Pipeline"),
        ({"class": "engines.pipeline.retrieval:Retrieval", "models": {"chat": "a"}}, "engine_args.models.embed: Field"),
        (
            {
                "class": "engines.pipeline.retrieval:Retrieval",
                "models": {"chat": "a", "embed": "b"},
                "index": "mysql://host/name",
            },
            "index: it is a file, or postgresql://user@host/name",
        ),
    ],
)
async def test_a_pipeline_that_cannot_start_says_why_in_one_line(
    cluster: Cluster, args: dict[str, Any], why: str
) -> None:
    with pytest.raises(EngineStartError) as raised:
        await PipelineEngine(cluster.settings("broken", **args)).start()
    assert why in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("takes", [True, False])
async def test_a_model_takes_the_projects_salt_if_its_engine_has_use_for_it(takes: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Response((await receive())["body"])(scope, receive, send)

    replica = SimpleNamespace(_engine=SimpleNamespace(takes_cache_salt=takes), _asgi=app)
    parts = EngineReplica.func_or_class.call(replica, "POST", "/", {CACHE_SALT_HEADER: "pepper"}, b'{"n":1}')
    _, body = [part async for part in parts]
    assert json.loads(body) == ({"n": 1, "cache_salt": "pepper"} if takes else {"n": 1})
