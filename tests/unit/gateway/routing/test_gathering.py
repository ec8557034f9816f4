"""What is gathered from all replicas: one that does not answer in time is told as such, and keeps nobody waiting."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from aiohttp import web
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from auth.keys import METRICS
from engines.base import LOAD_PATH, STATUS_PORT, Load
from gateway.config.settings import GatewaySettings, ModelEntry
from gateway.http.envelope import Envelope
from gateway.routes.health import OWN_METRICS, health_router
from gateway.routing.replicas import GATHER_S, Endpoint, Replicas, open_replicas

FIGURES = "# HELP raygate_requests_total Requests.\n# TYPE raygate_requests_total counter\nraygate_requests_total 7.0\n"


def replica(name: str, endpoint: Endpoint) -> Any:
    """Return a running replica as Serve's router has it on record."""
    host, port = endpoint
    return SimpleNamespace(
        replica_id=SimpleNamespace(unique_id=name),
        backend_http_endpoint=endpoint,
        replica_metadata={STATUS_PORT: port},
        _replica_info=SimpleNamespace(node_ip=host),
    )


class Handle:
    """A deployment's handle, as far as it leads to the running replicas."""

    def __init__(self, **endpoints: Endpoint) -> None:
        running = {name: replica(name, endpoint) for name, endpoint in endpoints.items()}
        router = SimpleNamespace(curr_replicas=running)
        self._router = SimpleNamespace(_asyncio_router=SimpleNamespace(request_router=router))

    @contextlib.asynccontextmanager
    async def choose_replica(self, **_: object) -> AsyncIterator[Any]:
        first = next(iter(self._router._asyncio_router.request_router.curr_replicas.values()))
        yield SimpleNamespace(_replica=first)


@pytest.fixture
async def answering() -> AsyncIterator[Endpoint]:
    async def figures(_: web.Request) -> web.Response:
        return web.Response(text=FIGURES)

    async def load(_: web.Request) -> web.Response:
        return web.json_response({"running": 2, "waiting": 1})

    app = web.Application()
    app.add_routes([web.get(OWN_METRICS, figures), web.get(LOAD_PATH, load)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield runner.addresses[0][:2]
    await runner.cleanup()


@pytest.fixture
async def silent() -> AsyncIterator[Endpoint]:
    """A server that takes connections, as a stopped process's kernel does, and never says a word."""
    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda reader, writer: held.append(writer), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[:2]
    for writer in held:
        writer.close()
    server.close()


@pytest.fixture
async def replicas(answering: Endpoint, silent: Endpoint) -> AsyncIterator[Replicas]:
    async with open_replicas("token") as replicas:
        both = Handle(awake=answering, asleep=silent)
        replicas._handles = {("gateway", "gateway"): both, ("model-m", "engine"): both}  # type: ignore[dict-item]
        yield replicas


async def test_of_a_silent_gateway_replica_there_are_no_figures(replicas: Replicas) -> None:
    assert await replicas.siblings(OWN_METRICS) == {"awake": FIGURES.encode(), "asleep": None}


async def test_of_a_silent_engine_replica_there_is_no_load(replicas: Replicas) -> None:
    assert await replicas.loads("model-m") == {"awake": Load(running=2, waiting=1), "asleep": None}


async def test_a_replica_that_refuses_is_told_as_one_that_is_silent(replicas: Replicas) -> None:
    assert await replicas.siblings("/no-such-path") == {"awake": None, "asleep": None}


async def test_a_scrape_says_who_has_not_answered_in_time(replicas: Replicas) -> None:
    key = SimpleNamespace(scopes=(METRICS,))
    services: Any = SimpleNamespace(
        access=SimpleNamespace(identify=lambda _: key),
        settings=GatewaySettings(models=[ModelEntry(name="m", engine="echo")]),
        replicas=replicas,
    )
    app = FastAPI()
    app.include_router(health_router(services))
    transport = httpx.ASGITransport(Envelope(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        asked_at = time.monotonic()
        answer = await client.get("/metrics")
        waited_s = time.monotonic() - asked_at
    figures = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert figures == {
        ("raygate_requests_total",): 7,
        ("raygate_up", "awake"): 1,
        ("raygate_up", "asleep"): 0,
        ("raygate_engine_up", "awake", "m"): 1,
        ("raygate_engine_up", "asleep", "m"): 0,
        ("raygate_engine_requests_running", "awake", "m"): 2,
        ("raygate_engine_requests_queued", "awake", "m"): 1,
    }
    assert waited_s < 2 * GATHER_S + 1
