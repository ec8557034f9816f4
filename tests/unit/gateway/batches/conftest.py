"""A gateway on a real database and a real echo engine, with neither Ray nor HTTP between."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from ray.serve.schema import ApplicationStatusOverview, DeploymentStatusOverview, ServeStatus
from starlette.types import ASGIApp

from auth.access import Access
from auth.keys import Key, create_key
from auth.limiter import OwnLeases
from auth.store import Store
from auth.usage import Price
from engines.base import EngineSettings, Load
from engines.echo.engine import EchoEngine
from engines.replica import call_asgi
from gateway.answers.answer import Answer, retry_after_s
from gateway.config.settings import BatchSettings, GatewaySettings, ModelEntry
from gateway.prompts.estimate import Prompts
from gateway.request.late_counts import LateCounts
from gateway.request.metrics import Metrics
from gateway.request.services import Services
from gateway.request.traffic import Traffic
from gateway.routing.models import ModelTable
from gateway.routing.readiness import Readiness
from objects.batches import Batch, create_batch, read_batch
from objects.file_store import Files
from objects.storage import Storage

PRICE = Price(prompt=1_000_000, completion=2_000_000)
CHAT = "/v1/chat/completions"


class NearbyEngine:
    """Stands where Ray is: hands requests to an engine in this process, and counts which lines it got."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.running = 0
        self.asked: list[str] = []
        self.most_at_once = 0
        self.others = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.arrived = asyncio.Event()

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
        asked("replica-1")
        self.asked.append(headers["x-request-id"])
        self.arrived.set()
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        try:
            await self.may_answer.wait()
            async with contextlib.aclosing(call_asgi(self.app, "POST", path, headers, body)) as parts:
                status, told = await anext(parts)  # type: ignore[misc]

                async def read() -> bytes:
                    return await anext(parts, b"")  # type: ignore[return-value]

                yield Answer(status, "replica-1", read, retry_after_s(told))
        finally:
            self.running -= 1

    async def loads(self, application: str) -> dict[str, Load]:
        return {"replica-1": Load(running=self.running + self.others, waiting=0)}


def all_run(models: list[ModelEntry]) -> ServeStatus:
    """Return what Ray Serve says when every model has a replica."""
    engine = DeploymentStatusOverview("HEALTHY", "UNSPECIFIED", {"RUNNING": 1}, "")
    overview = ApplicationStatusOverview("RUNNING", "", 0.0, {"engine": engine})
    return ServeStatus(applications={model.application: overview for model in models})


@dataclass
class House:
    """A gateway replica that can be doubled: another one on the same database."""

    services: Services
    engine: NearbyEngine
    key: Key
    url: str
    _stack: contextlib.AsyncExitStack = field(repr=False, default_factory=contextlib.AsyncExitStack)

    async def upload(self, *lines: Any, purpose: str = "batch") -> str:
        """Store a file of JSON lines; return its id."""
        data = b"\n".join(line if isinstance(line, bytes) else orjson.dumps(line) for line in lines)
        async with self.services.files.adding(self.key.project) as (new, write):
            if data:
                await write(data)
        await self.services.files.finish(new, filename="input.jsonl", purpose=purpose, expires_after_s=None)
        return new.id

    async def batch(self, *lines: Any, endpoint: str = CHAT) -> Batch:
        """Store a batch of such lines."""
        return await create_batch(
            self.services.access.store,
            project=self.key.project,
            key=self.key.id,
            endpoint=endpoint,
            input_file_id=await self.upload(*lines),
            metadata=None,
            output_expires_after_s=None,
            most=100,
        )

    async def again(self, batch: Batch) -> Batch:
        """Return the batch as it is now."""
        return await read_batch(self.services.access.store, batch.project, batch.id)

    async def until(self, batch: Batch, *states: str) -> Batch:
        """Return the batch once it has one of the states."""
        async with asyncio.timeout(30):
            while (now := await self.again(batch)).status not in states:
                await asyncio.sleep(0.02)
        return now

    async def lines_of(self, file_id: str | None) -> list[Any]:
        """Return the JSON lines of a file; none of no file."""
        if file_id is None:
            return []
        text = b"".join([piece async for piece in self.services.files.storage.read(file_id)])
        return [orjson.loads(line) for line in text.splitlines()]

    async def twin(self, replica: str) -> "House":
        """Return another gateway replica on the same database and engine."""
        access = await Access.open(self.url, OwnLeases(), replica=replica)
        self._stack.push_async_callback(access.close)
        files = replace(self.services.files, store=access.store)
        services = replace(
            self.services,
            access=access,
            traffic=Traffic(),
            metrics=Metrics(replica, self.services.models.names()),
            files=files,
        )
        await access.ledger.flush()  # from here on it is known to live
        return replace(self, services=services)


def line(custom_id: str, *, model: str = "echo", max_tokens: int = 2, **more: Any) -> dict[str, Any]:
    """Return a line of a batch's input."""
    body = {"model": model, "messages": [{"role": "user", "content": custom_id}], "max_tokens": max_tokens}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body, **more}


Opened = Callable[..., Any]


@pytest.fixture
async def open_house(database_url: str, tmp_path: Path) -> AsyncIterator[Opened]:
    """Return a function that opens a gateway with the given settings of batches."""
    async with contextlib.AsyncExitStack() as stack:

        async def opened(**batches: Any) -> House:
            store = Store(database_url)
            await store.migrate()
            key, _ = await create_key(store, name="owner", models=["echo"])
            await store.close()
            access = await Access.open(database_url, OwnLeases(), replica="gateway-1")
            stack.push_async_callback(access.close)
            await access.ledger.flush()  # from here on it is known to live
            engine = EchoEngine(EngineSettings(model="echo", home=tmp_path))
            nearby = NearbyEngine(await engine.start())
            models = [ModelEntry(name="echo", engine="echo", price=PRICE), ModelEntry(name="other", engine="echo")]
            settings = GatewaySettings(
                models=models, home=tmp_path, batches=BatchSettings(**{"quiet_s": 0, "discount": 0.5} | batches)
            )
            storage = Storage(str(tmp_path / "files"), {})
            stack.callback(storage.close)
            parts: dict[str, Any] = {part.name: None for part in fields(Services)}
            parts |= {
                "settings": settings,
                "access": access,
                "models": ModelTable.of(settings),
                "readiness": Readiness(models, lambda: all_run(models)),
                "replicas": nearby,
                "metrics": Metrics("gateway-1", ["echo", "other"]),
                "prompts": Prompts(tmp_path),
                "late_counts": LateCounts(nearby),  # type: ignore[arg-type]
                "traffic": Traffic(),
                "files": Files(access.store, storage, settings.files.project_quota_bytes),
            }
            return House(Services(**parts), nearby, key, database_url, stack)

        yield opened


@pytest.fixture
async def house(open_house: Opened) -> House:
    """A gateway whose models are idle at once."""
    opened: House = await open_house()
    return opened
