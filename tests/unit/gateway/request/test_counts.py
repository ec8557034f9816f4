"""Which of an engine's counts become a row and a charge, and what stands in place of those that do not."""

import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import httpx
import orjson
import pytest

from auth.limits import Limit
from auth.usage import MAX_COUNT, Usage
from gateway.answers.answer import Answer
from tests.unit.gateway.request.conftest import House, Opened

MAX_TOKENS = 8
SAID = "sixteen letters."
TOKENS = 4
"""Of what is said, by its letters."""
EVENTS = 4
"""Of the same as a stream, but for what opens it and for its count."""
PROMPT = 9
"""What the gateway takes the prompt for: a word, and what a template adds."""

ODD = {
    "none": None,
    "no object": [7, 7],
    "negative": {"prompt_tokens": 2, "completion_tokens": -1_000_000},
    "with a fraction": {"prompt_tokens": 2, "completion_tokens": 1.5},
    "a text": {"prompt_tokens": "2", "completion_tokens": "3"},
    "true": {"prompt_tokens": True, "completion_tokens": 3},
    "prompt missing": {"completion_tokens": 3},
    "too large for JSON": {"prompt_tokens": 2, "completion_tokens": MAX_COUNT + 2},
    "more than was asked for": {"prompt_tokens": 2, "completion_tokens": MAX_TOKENS + 1},
    "a prompt longer than its bytes": {"prompt_tokens": 1_000_000, "completion_tokens": 3},
    "more cached than prompted": {
        "prompt_tokens": 2,
        "completion_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 3},
    },
}


def whole(usage: Any) -> bytes:
    message = {"role": "assistant", "content": SAID}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_790_000_000, "model": "m"}
    return orjson.dumps({**head, "choices": [choice], "usage": usage})


def streamed(usage: Any) -> bytes:
    deltas = [{"role": "assistant", "content": ""}, *({"content": part} for part in SAID.split()), {}]
    choices = [{"index": 0, "delta": delta, "finish_reason": None if delta else "stop"} for delta in deltas]
    chunks = [{"choices": [choice]} for choice in choices] + [{"choices": [], "usage": usage}]
    return b"".join(b"data: %b\n\n" % orjson.dumps(chunk) for chunk in chunks) + b"data: [DONE]\n\n"


def let_engines_say(house: House, body: Callable[[Any], bytes], usage: Any) -> None:
    """Let every engine answer with this usage, and know of no other afterwards."""

    @contextlib.asynccontextmanager
    async def ask(
        application: str, path: str, headers: Mapping[str, str], sent: bytes, *, asked: Callable[[str], None], **_: Any
    ) -> AsyncGenerator[Answer, None]:
        asked("replica-1")
        parts = [body(usage)]

        async def read() -> bytes:
            return parts.pop() if parts else b""

        yield Answer(200, "replica-1", read)

    house.engines.ask = ask  # type: ignore[method-assign]


async def ask(house: House, **fields: Any) -> Any:
    """Ask the paid model, and return the row of it."""
    headers = {"authorization": f"Bearer {house.secret}"}
    body = {"model": "paid", "messages": [{"role": "user", "content": "hi"}], "max_tokens": MAX_TOKENS, **fields}
    transport = httpx.ASGITransport(house.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:
        answered = await client.post("/v1/chat/completions", json=body)
    assert answered.status_code == 200
    [row] = await house.rows()
    return row


@pytest.fixture
async def house(open_house: Opened) -> House:
    return await open_house(Limit("cost", "day", 5000), Limit("prompt_tokens", "day", 5000))


def estimated_series(house: House) -> list[str]:
    lines = house.services.metrics.exposition().decode().splitlines()
    return [line.rpartition(" ")[2] for line in lines if line.startswith("raygate_estimated_requests_total{")]


async def test_a_count_that_can_be_is_taken(house: House) -> None:
    let_engines_say(house, whole, {"prompt_tokens": 2, "completion_tokens": MAX_TOKENS})
    row = await ask(house)
    assert (row.prompt_tokens, row.completion_tokens, row.cost, row.estimated) == (2, MAX_TOKENS, MAX_TOKENS, False)
    assert await house.left() == [5000 - MAX_TOKENS, 5000 - 2]
    assert estimated_series(house) == ["0.0"]


@pytest.mark.parametrize("usage", ODD.values(), ids=ODD)
async def test_of_a_whole_answer_with_an_odd_count_the_texts_are_counted(house: House, usage: Any) -> None:
    let_engines_say(house, whole, usage)
    row = await ask(house)
    assert (row.prompt_tokens, row.completion_tokens, row.cost, row.estimated) == (PROMPT, TOKENS, TOKENS, True)
    assert await house.left() == [5000 - TOKENS, 5000 - PROMPT]
    assert estimated_series(house) == ["1.0"]


@pytest.mark.parametrize("usage", ODD.values(), ids=ODD)
async def test_of_a_stream_with_an_odd_count_the_events_are_counted(house: House, usage: Any) -> None:
    let_engines_say(house, streamed, usage)
    row = await ask(house, stream=True)
    assert (row.prompt_tokens, row.completion_tokens, row.cost, row.estimated) == (PROMPT, EVENTS, EVENTS, True)
    assert await house.left() == [5000 - EVENTS, 5000 - PROMPT]
    assert estimated_series(house) == ["1.0"]


async def test_an_estimate_is_no_more_than_was_asked_for(house: House) -> None:
    let_engines_say(house, whole, None)
    assert (await ask(house, max_tokens=2)).completion_tokens == 2


async def test_who_asks_for_no_bound_pays_for_all_that_a_context_holds(house: House) -> None:
    let_engines_say(house, whole, {"prompt_tokens": 2, "completion_tokens": 900})
    row = await ask(house, max_tokens=None)
    assert (row.completion_tokens, row.estimated) == (900, False)


@pytest.mark.parametrize("late", [Usage(2, MAX_TOKENS + 1), Usage(1_000_000, 1), Usage(), None], ids=str)
async def test_a_late_count_is_believed_no_sooner_than_any_other(house: House, late: Usage | None) -> None:
    let_engines_say(house, streamed, None)
    if late is not None:
        house.engines.late["paid"] = late
    row = await ask(house, stream=True)
    assert (row.prompt_tokens, row.completion_tokens, row.estimated) == (PROMPT, EVENTS, True)


async def test_a_late_count_that_can_be_is_the_engines_own(house: House) -> None:
    let_engines_say(house, streamed, None)
    house.engines.late["paid"] = Usage(2, 5)
    row = await ask(house, stream=True)
    assert (row.prompt_tokens, row.completion_tokens, row.cost, row.estimated) == (2, 5, 5, False)
    assert await house.left() == [5000 - 5, 5000 - 2]


async def test_what_no_engine_took_is_no_estimate(house: House) -> None:
    house.engines.failing["paid"] = 500
    await house.ask("paid")
    [row] = await house.rows()
    assert (row.prompt_tokens, row.completion_tokens, row.estimated) == (0, 0, False)
