"""What a collector is told of a pipeline's steps, over OTLP/HTTP, by the exporter that users have."""

import sys
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from engines.base import EngineStartError
from engines.echo.engine import EchoEngine
from engines.pipeline import ApiError, ChatRequest, Delta, Models, Pipeline
from tests.collector import Collector, attributes, collecting
from tests.echoes import Cluster

ERROR = 2
"""OpenTelemetry's status code."""


class Looking(Pipeline):
    """Looks something up, and lets a model write."""

    async def answer(self, request: ChatRequest, models: Models) -> AsyncGenerator[Delta, None]:
        with models.step("look up", {"shop.orders": 2}):
            if request.question == "fail":
                raise ApiError.invalid("messages", "secret words")
        async for delta in models.chat("writer", request.body):
            yield delta


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture
async def cluster(tmp_path: Path, collector: Collector) -> Cluster:
    cluster = Cluster(tmp_path)
    await cluster.add(EchoEngine(cluster.settings("echo", default_max_tokens=3)))
    await cluster.pipeline("looking", Looking, {"writer": "echo"}, otlp_endpoint=f"http://127.0.0.1:{collector.port}")
    return cluster


async def test_every_call_and_every_step_is_a_span_below_the_requests(cluster: Cluster, collector: Collector) -> None:
    await cluster.post("looking")
    await cluster.engines["looking"].stop()
    spans = {span.name: span for span in collector.spans}
    root = spans["pipeline looking"]
    assert set(spans) == {"pipeline looking", "look up", "chat echo"}
    assert {spans[name].parent_span_id for name in ("look up", "chat echo")} == {root.span_id}
    assert attributes(spans["look up"]) == {"shop.orders": 2}
    assert attributes(spans["chat echo"]) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "echo",
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 3,
    }
    assert attributes(root)["gen_ai.usage.input_tokens"] == 3


async def test_a_callers_trace_goes_on_into_the_models(cluster: Cluster, collector: Collector) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    await cluster.post("looking", {"traceparent": f"00-{trace}-{parent}-01"})
    await cluster.engines["looking"].stop()
    spans = {span.name: span for span in collector.spans}
    assert {span.trace_id.hex() for span in spans.values()} == {trace}
    assert spans["pipeline looking"].parent_span_id.hex() == parent
    (_, sent, _) = cluster.asked[-1]
    assert sent["traceparent"] == f"00-{trace}-{spans['chat echo'].span_id.hex()}-01"


async def test_a_step_that_fails_says_how_but_repeats_no_words(cluster: Cluster, collector: Collector) -> None:
    await cluster.post("looking", messages=[{"role": "user", "content": "fail"}])
    await cluster.engines["looking"].stop()
    spans = {span.name: span for span in collector.spans}
    assert {name: span.status.code for name, span in spans.items()} == {"pipeline looking": ERROR, "look up": ERROR}
    assert attributes(spans["look up"])["error.type"] == "ApiError"
    assert b"secret" not in b"".join(collector.raw)


async def test_the_collector_may_be_named_by_opentelemetrys_own_variable(
    cluster: Cluster, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.port}")
    await cluster.pipeline("plain", Looking, {"writer": "echo"})
    await cluster.post("plain")
    await cluster.engines["plain"].stop()
    assert {span.name for span in collector.spans} == {"pipeline plain", "look up", "chat echo"}


async def test_without_a_collector_nothing_is_traced(
    cluster: Cluster, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    await cluster.pipeline("plain", Looking, {"writer": "echo"})
    assert (await cluster.post("plain")).status_code == 200
    await cluster.engines["plain"].stop()
    assert collector.raw == []


async def test_a_collector_without_the_exporters_package_is_a_mistake_that_is_told(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(EngineStartError, match=r"raygate\[otel\]"):
        await cluster.pipeline("traced", Looking, {"writer": "echo"}, otlp_endpoint="http://127.0.0.1:1")
