"""A gateway on a real database, whose engines answer as a test tells them to."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import select
from starlette.types import ASGIApp

from auth.access import Access
from auth.keys import Key, create_key
from auth.ledger_tables import RequestRow
from auth.limiter import OwnLeases
from auth.limits import Limit
from auth.store import Store
from auth.usage import Price, Usage
from gateway.answers.answer import Answer
from gateway.app import Api, create_app
from gateway.config.settings import AliasEntry, GatewaySettings, ModelEntry, WeightedModel
from gateway.prompts.estimate import Prompts
from gateway.request.late_counts import LateCounts
from gateway.request.metrics import Metrics
from gateway.request.services import Services
from gateway.request.traffic import Traffic
from gateway.responses.background import Background
from gateway.responses.late_ends import LateEnds
from gateway.routing.models import ModelTable
from gateway.routing.readiness import Readiness
from tests.unit.gateway.batches.conftest import all_run

MONEY = Price(prompt=0, completion=1_000_000)
"""One a completion token."""

MODELS = (
    ModelEntry(name="free", engine="echo"),
    ModelEntry(name="paid", engine="echo", price=MONEY),
    ModelEntry(name="dear", engine="echo", price=Price(prompt=0, completion=3_000_000)),
    ModelEntry(name="elsewhere", engine="upstream"),
)
ALIASES = (
    AliasEntry(name="saving", route=[WeightedModel(model="free")], fallback=["paid"]),
    AliasEntry(name="careful", route=[WeightedModel(model="paid")], fallback=["free"]),
    AliasEntry(name="backed", route=[WeightedModel(model="elsewhere")], fallback=["free"]),
    AliasEntry(name="any", route=[WeightedModel(model="free")], fallback=["paid", "dear"]),
)


def chat(usage: Any) -> bytes:
    """Return an engine's whole answer, whose usage is a ``Usage`` or whatever else it may say."""
    message = {"role": "assistant", "content": "yes"}
    counts = usage
    if isinstance(usage, Usage):
        counts = {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        }
    return orjson.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_790_000_000,
            "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
            "usage": counts,
        }
    )


def chat_stream() -> bytes:
    """Return an engine's stream."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": "m"}
    said = {"index": 0, "delta": {"content": "yes"}, "finish_reason": None}
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    chunks = [orjson.dumps({**head, "choices": [choice]}) for choice in (said, end)]
    return b"".join(b"data: %b\n\n" % data for data in (*chunks, b"[DONE]"))


def failure(status: int) -> bytes:
    """Return an engine's error."""
    return orjson.dumps({"error": {"message": "no", "type": "server_error", "param": None, "code": str(status)}})


@dataclass
class Engines:
    """Stands where Ray is.

    Attributes:
        failing: the status with which a model refuses.
        usage: what an answer says that it has used.
        late: what an engine says afterwards, by model.
        asked: the models, in the order in which they were asked.
        before: awaited before an engine answers, if a test wants to hold it.
        apps: the real engines' apps, by model.
    """

    failing: dict[str, int] = field(default_factory=dict)
    usage: dict[str, Any] = field(default_factory=dict)
    late: dict[str, Usage] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    before: Callable[[str], Awaitable[None]] | None = None
    apps: dict[str, ASGIApp] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def ask(
        self,
        application: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        patience_s: float,
        asked: Callable[[str], None],
    ) -> AsyncGenerator[Answer, None]:
        model = application.removeprefix("model-")
        asked("replica-1")
        self.asked.append(model)
        if self.before:
            await self.before(model)
        status = self.failing.get(model, 200)
        told = chat_stream() if orjson.loads(body).get("stream") else chat(self.usage.get(model, Usage(1, 1)))
        parts = [failure(status) if status >= 400 else told]
        if model in self.apps:
            transport = httpx.ASGITransport(self.apps[model])
            async with httpx.AsyncClient(transport=transport, base_url="http://engine") as client:
                answered = await client.post(path, content=body, headers=headers)
            status, parts = answered.status_code, [answered.content]

        async def read() -> bytes:
            return parts.pop() if parts else b""

        yield Answer(status, "replica-1", read)

    async def used(self, application: str, replica: str, request: str) -> Usage | None:
        return self.late.get(application.removeprefix("model-"))


@dataclass
class House:
    """The gateway, and a key of it."""

    app: Api
    access: Access
    engines: Engines
    late_counts: LateCounts
    key: Key
    secret: str
    services: Services

    async def ask(self, model: str, max_tokens: int | None = 1, **fields: Any) -> httpx.Response:
        """Ask with the key."""
        headers = {"authorization": f"Bearer {self.secret}"}
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": max_tokens, **fields}
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:
            return await client.post("/v1/chat/completions", json=body)

    async def asks(self, model: str, times: int, max_tokens: int | None = 1) -> list[int]:
        """Ask so many times, one after the other; return the statuses."""
        return [(await self.ask(model, max_tokens)).status_code for _ in range(times)]

    async def left(self) -> list[float]:
        """Return what is left of each limit of the key."""
        quotas = await self.access.limiter.quotas(self.key, self.access.keys.project(self.key))
        return [round(quota.remaining, 6) for quota in quotas]

    async def rows(self) -> list[Any]:
        """Return the ledger, the oldest first."""
        await self.late_counts.wait()
        await self.access.ledger.flush_all()
        async with self.access.store.reading() as connection:
            return list(await connection.execute(select(RequestRow).order_by(RequestRow.id)))


Opened = Callable[..., Awaitable[House]]


@pytest.fixture
async def open_house(store: Store, database_url: str, tmp_path: Path) -> AsyncIterator[Opened]:
    """Return a function that opens the gateway for a key with the given limits, and other settings by their names."""
    async with contextlib.AsyncExitStack() as stack:

        async def opened(*limits: Limit, **told: Any) -> House:
            key, secret = await create_key(store, name="owner", limits=limits)
            access = await Access.open(database_url, OwnLeases(), replica="gateway-1")
            stack.push_async_callback(access.close)
            engines = Engines()
            late_counts = LateCounts(engines)  # type: ignore[arg-type]
            stack.push_async_callback(late_counts.wait)
            settings = GatewaySettings(models=list(MODELS), aliases=list(ALIASES), home=tmp_path, **told)
            parts: dict[str, Any] = {part.name: None for part in fields(Services)}
            parts |= {
                "settings": settings,
                "access": access,
                "models": ModelTable.of(settings),
                "readiness": Readiness(MODELS, lambda: all_run(list(MODELS))),
                "replicas": engines,
                "metrics": Metrics("gateway-1", [model.name for model in MODELS]),
                "prompts": Prompts(tmp_path),
                "late_counts": late_counts,
                "traffic": Traffic(),
            }
            services = Services(**parts)
            background = Background(access.store, "gateway-1", settings.responses, LateEnds(tmp_path / "responses"))
            return House(create_app(services, background), access, engines, late_counts, key, secret, services)

        yield opened


async def cancelled(task: "asyncio.Task[Any]") -> None:
    """End a task in the middle."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
