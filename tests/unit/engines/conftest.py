"""One Transformers engine on the embedded model for all tests of this folder; converted once on a machine."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from engines.base import EngineSettings
from engines.embedded import prepare
from engines.transformers.engine import TransformersEngine


@pytest.fixture(scope="session")
def home() -> Path:
    return Path(os.environ.get("RAYGATE_TEST_HOME") or "~/.cache/raygate-tests").expanduser()


@pytest.fixture(scope="session")
def smollm2(home: Path) -> str:
    return str(prepare("smollm2", home))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def engine(smollm2: str) -> AsyncIterator[TransformersEngine]:
    import torch

    # Threads that spin at each other's barriers are slow on a machine that does other things as well.
    torch.set_num_threads(1)
    engine = TransformersEngine(
        EngineSettings(model="smollm2", source=smollm2, engine_args={"max_model_len": 1024, "prefill_tokens": 128})
    )
    engine.app = await engine.start()  # type: ignore[attr-defined]
    yield engine
    await engine.stop()


class Client:
    """Speaks the API in this process."""

    def __init__(self, app: Any) -> None:
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://engine", timeout=None)

    async def chat(self, content: Any = "What is the capital of France?", **fields: Any) -> Any:
        """Return the answer's JSON, whatever its status."""
        return (await self.post("chat/completions", messages=[{"role": "user", "content": content}], **fields)).json()

    async def text(self, content: Any, **fields: Any) -> str:
        """Return what the first choice says."""
        return (await self.chat(content, **fields))["choices"][0]["message"]["content"]

    async def complete(self, prompt: Any, **fields: Any) -> Any:
        """Return the answer's JSON, whatever its status."""
        return (await self.post("completions", prompt=prompt, **fields)).json()

    async def post(self, path: str, **body: Any) -> httpx.Response:
        """Return the response."""
        return await self.http.post(f"/v1/{path}", json=body)

    async def stream(self, content: Any = "What is the capital of France?", **fields: Any) -> list[Any]:
        """Return the data of a chat stream's events."""
        body = {"messages": [{"role": "user", "content": content}], "stream": True, **fields}
        response = await self.http.post("/v1/chat/completions", json=body)
        assert response.headers["content-type"].startswith("text/event-stream")
        events = response.text.split("\n\n")
        assert events[-2:] == ["data: [DONE]", ""]
        return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]


@pytest_asyncio.fixture(loop_scope="session")
async def client(engine: TransformersEngine) -> AsyncIterator[Client]:
    client = Client(engine.app)  # type: ignore[attr-defined]
    yield client
    await client.http.aclose()
