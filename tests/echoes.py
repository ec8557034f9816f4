"""Models that a pipeline reaches in this process: real engines, without Ray between."""

import contextlib
import json
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import httpx

from engines.base import EngineSettings
from engines.pipeline import ApiError, Pipeline
from engines.pipeline.engine import PipelineEngine
from engines.pipeline.handles import Part
from engines.replica import call_asgi

QUESTION = {"messages": [{"role": "user", "content": "one two three"}]}


class Cluster:
    """Echo models that are reached in this process, and what was asked of them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.apps: dict[str, Any] = {}
        self.engines: dict[str, Any] = {}
        self.asked: list[tuple[str, Mapping[str, str], Any]] = []

    async def add(self, engine: Any) -> None:
        name = engine.settings.model
        self.engines[name], self.apps[name] = engine, await engine.start()

    async def ask(self, model: str, path: str, headers: Mapping[str, str], body: bytes) -> AsyncGenerator[Part, None]:
        if model not in self.apps:
            raise ApiError.loading()
        self.asked.append((model, headers, json.loads(body)))
        async with contextlib.aclosing(call_asgi(self.apps[model], "POST", path, headers, body)) as parts:
            async for part in parts:
                yield part

    async def post(
        self, model: str, headers: Mapping[str, str] | None = None, path: str = "/v1/chat/completions", **body: Any
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self.apps[model])
        async with httpx.AsyncClient(transport=transport, base_url="http://engine") as client:
            return await client.post(path, json={**QUESTION, **body}, headers=headers)

    async def pipeline(self, name: str, of: type[Pipeline], models: dict[str, str], **args: Any) -> None:
        engine_args = {"class": f"{of.__module__}:{of.__name__}", "models": models, **args}
        await self.add(PipelineEngine(self.settings(name, **engine_args), self.ask))

    def settings(self, name: str, **engine_args: Any) -> EngineSettings:
        return EngineSettings(model=name, engine_args=engine_args, home=self.home)
