"""Our own engines' streams are in the form that ``engines.base`` states."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from doctor.form import mistakes
from engines.base import EngineSettings
from engines.echo.engine import EchoEngine

CHAT = {"messages": [{"role": "user", "content": "Tell me a joke, and another one"}], "n": 2, "max_tokens": 5}
TEXT = {"prompt": ["One two three", "Two"], "max_tokens": 3}


async def streamed(app: Any, path: str, body: dict[str, Any], *, has_usage: bool) -> bytes:
    options = {"stream": True, "stream_options": {"include_usage": has_usage}}
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://engine/v1", timeout=None) as client:
        answered = await client.post(path, json={"model": "smollm2", **body, **options})
    assert answered.status_code == 200, answered.text
    return answered.content


@pytest.fixture
async def echo(tmp_path: Path) -> Any:
    return await EchoEngine(EngineSettings(model="smollm2", home=tmp_path)).start()


@pytest.mark.parametrize("has_usage", [False, True])
async def test_echo(echo: Any, has_usage: bool) -> None:
    chat = await streamed(echo, "/chat/completions", CHAT, has_usage=has_usage)
    assert mistakes(chat, has_usage=has_usage) == []
    text = await streamed(echo, "/completions", TEXT, has_usage=has_usage)
    assert mistakes(text, is_chat=False, has_usage=has_usage) == []


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("has_usage", [False, True])
async def test_transformers(engine: Any, has_usage: bool) -> None:
    chat = await streamed(engine.app, "/chat/completions", {**CHAT, "seed": 1}, has_usage=has_usage)
    assert mistakes(chat, has_usage=has_usage) == []
    text = await streamed(engine.app, "/completions", TEXT, has_usage=has_usage)
    assert mistakes(text, is_chat=False, has_usage=has_usage) == []


@pytest.mark.asyncio(loop_scope="session")
async def test_transformers_with_a_tool_call(engine: Any) -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 5}}, "required": ["city"]}
    tool = {"type": "function", "function": {"name": "weather", "parameters": parameters}}
    called = {**CHAT, "n": 1, "max_tokens": 60, "tools": [tool], "tool_choice": "required", "temperature": 0}
    told = await streamed(engine.app, "/chat/completions", called, has_usage=True)
    assert b'"tool_calls":[' in told
    assert mistakes(told, has_usage=True) == []
