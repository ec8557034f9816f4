"""What requests have used is known afterwards, however they ended."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from starlette.types import Receive, Scope, Send

from engines import used as used_module
from engines.base import REQUEST_HEADER, EngineSettings, Used
from engines.echo.engine import EchoEngine
from engines.replica import call_asgi
from engines.used import UsedRecord

CHAT = "/v1/chat/completions"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture
async def record(journal: Path) -> AsyncIterator[UsedRecord]:
    arguments = {"tokens_per_s": 200, "journal": str(journal)}
    engine = EchoEngine(EngineSettings(model="echo", engine_args=arguments))
    yield UsedRecord(await engine.start())
    await engine.stop()


def asked(record: UsedRecord, request_id: str = "r1", **fields: object) -> AsyncIterator[object]:
    body = {"messages": [{"role": "user", "content": "three words long"}], **fields}
    headers = {REQUEST_HEADER.decode(): request_id, "x-request-id": request_id}
    return call_asgi(record, "POST", CHAT, headers, orjson.dumps(body))


async def finish(parts: AsyncIterator[object]) -> None:
    async for _ in parts:
        pass


async def test_a_finished_request_has_used_what_its_answer_says(record: UsedRecord) -> None:
    await finish(asked(record, max_tokens=5, n=2))
    assert await record.used("r1") == Used(prompt_tokens=3, completion_tokens=10)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_request_that_is_given_up_has_used_what_the_engine_produced(
    record: UsedRecord, journal: Path, stream: bool
) -> None:
    request = asyncio.create_task(finish(asked(record, max_tokens=1000, stream=stream)))
    await asyncio.sleep(0.2)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    produced = len(journal.read_text().split())
    assert 5 < produced < 100
    assert await record.used("r1") == Used(prompt_tokens=3, completion_tokens=produced)


async def test_who_asks_before_the_end_waits_for_it(record: UsedRecord) -> None:
    request = asyncio.create_task(finish(asked(record, max_tokens=40)))
    await asyncio.sleep(0.05)
    assert await record.used("r1") == Used(prompt_tokens=3, completion_tokens=40)
    await request


async def test_the_wait_is_bounded(record: UsedRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(used_module, "ENDING_S", 0.1)
    request = asyncio.create_task(finish(asked(record, max_tokens=1000)))
    await asyncio.sleep(0.05)
    so_far = await record.used("r1")
    assert so_far is not None
    assert 5 < so_far.completion_tokens < 100
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)


async def test_a_request_that_never_came_is_unknown(record: UsedRecord) -> None:
    with pytest.raises(KeyError):
        await record.used("r1")


async def test_an_engine_that_does_not_count_cannot_tell() -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    record = UsedRecord(silent)
    await finish(asked(record))
    assert await record.used("r1") is None


async def test_its_memory_is_bounded_and_keeps_the_latest(record: UsedRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(used_module, "REMEMBERED", 3)
    for number in range(5):
        await finish(asked(record, f"r{number}", max_tokens=1))
    assert await record.used("r4") == Used(prompt_tokens=3, completion_tokens=1)
    with pytest.raises(KeyError):
        await record.used("r1")
