import asyncio
from contextlib import aclosing

import orjson
import pytest

from engines.base import REQUEST_HEADER
from engines.replica import call_asgi
from engines.transformers.engine import TransformersEngine
from engines.used import UsedRecord
from tests.unit.engines.conftest import Client

pytestmark = pytest.mark.asyncio(loop_scope="session")
QUESTION = {"messages": [{"role": "user", "content": "What is the capital of France?"}]}


@pytest.mark.parametrize("fields", [{"stream": True}, {"stream": False}, {"stream": False, "n": 3}])
async def test_a_request_that_is_given_up_has_used_its_prompt_once_and_the_tokens_so_far(
    engine: TransformersEngine, client: Client, fields: dict[str, object]
) -> None:
    finished = await client.chat(max_tokens=1)
    record = UsedRecord(engine.app)  # type: ignore[attr-defined]
    body = orjson.dumps({**QUESTION, **fields, "max_tokens": 900, "ignore_eos": True})

    async def ask() -> None:
        headers = {REQUEST_HEADER.decode(): "r1"}
        async with aclosing(call_asgi(record, "POST", "/v1/chat/completions", headers, body)) as parts:
            async for _ in parts:
                pass

    request = asyncio.create_task(ask())
    while engine.load().running == 0:
        await asyncio.sleep(0.01)
    await asyncio.sleep(1)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    used = await record.used("r1")
    assert used is not None
    assert used.prompt_tokens == finished["usage"]["prompt_tokens"]
    assert 3 < used.completion_tokens < 900
