"""Requests that are not let in are counted, not written one by one, and a key that has too many of them is told so."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from auth.limits import Limit
from auth.refusal_limit import RefusalLimit
from auth.refusal_report import refusals
from auth.usage_report import usage
from gateway.config.settings import Bounds
from tests.unit.gateway.request.conftest import House, Opened

CHAT: dict[str, Any] = {"model": "free", "messages": [{"role": "user", "content": "hi"}]}


async def told(house: House) -> list[tuple[str, int, str, int]]:
    """Return model, status, code and number of what was refused."""
    await house.access.refusals.flush()
    found = await refusals(house.access.store, since=0, until=time.time() + 60)
    return sorted((each.model, each.status, each.code, each.refusals) for each in found)


def client_of(house: House) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {house.secret}", "content-type": "application/json"}
    return httpx.AsyncClient(transport=httpx.ASGITransport(house.app), base_url="http://gateway", headers=headers)


async def test_a_key_over_its_limit_has_one_counter_and_no_rows(open_house: Opened) -> None:
    house = await open_house(Limit("requests", "minute", 1))
    assert await house.asks("free", 50) == [200, *[429] * 49]
    assert [row.status for row in await house.rows()] == [200]
    assert await told(house) == [("free", 429, "rate_limit_exceeded", 49)]


async def test_the_usage_has_what_was_let_in_and_what_was_not(open_house: Opened) -> None:
    house = await open_house(Limit("requests", "minute", 1))
    await house.asks("free", 3)
    await house.rows()
    await house.access.refusals.flush()
    page = await usage(house.access.store, since=0, until=time.time() + 3600, group_by=["model"], key=house.key.id)
    assert [(each.group["model"], each.requests, each.errors) for each in page.sums] == [("", 2, 2), ("free", 1, 0)]


async def test_each_reason_is_counted_and_no_text_of_a_client_is_kept(open_house: Opened) -> None:
    house = await open_house()
    async with client_of(house) as client:
        for path in ("/v1/chat/completions", "/v1/responses"):
            await client.post(path, content=b"{")
            await client.post(path, json={**CHAT, "input": "hi", "no_such_field": 1})
        await client.post("/v1/chat/completions", content=b" " * (Bounds().max_body_bytes + 1))
        await client.post("/v1/chat/completions", json={**CHAT, "model": "sk-a-secret-in-the-wrong-place"})
        await client.post("/v1/embeddings", json={"model": "free", "input": "hi", "n": 1})
    kept = await told(house)
    assert {(model, status) for model, status, _, _ in kept} == {("unknown", 400), ("unknown", 404), ("unknown", 413)}
    assert ("unknown", 400, "invalid_json", 2) in kept
    assert ("unknown", 404, "model_not_found", 1) in kept
    assert ("unknown", 413, "request_too_large", 1) in kept
    assert await house.rows() == []


async def test_a_client_that_leaves_before_it_is_let_in_is_counted_as_499(open_house: Opened) -> None:
    house = await open_house()
    begun = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        begun.set()
        await asyncio.Event().wait()
        yield b""

    async with client_of(house) as client:
        asking = asyncio.create_task(client.post("/v1/chat/completions", content=slowly()))
        await begun.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    assert await told(house) == [("unknown", 499, "", 1)]
    assert house.access.refusal_limit.wait_s(house.key.id) == 0


async def test_what_an_engine_refuses_was_let_in_and_has_its_row(open_house: Opened) -> None:
    house = await open_house()
    house.engines.failing["free"] = 400
    assert await house.asks("free", 2) == [400, 400]
    assert [row.status for row in await house.rows()] == [400, 400]
    assert await told(house) == []


@pytest.fixture
async def impatient(open_house: Opened) -> House:
    """A gateway that refuses a key three times a minute, of which nothing comes back while the test runs."""
    house = await open_house()
    object.__setattr__(house.access, "refusal_limit", RefusalLimit(3, lambda: 0.0))
    return house


async def test_a_key_that_is_refused_too_often_is_sent_away_before_its_body_is_read(impatient: House) -> None:
    async def never_read() -> AsyncIterator[bytes]:
        yield b"{"
        pytest.fail("the body was read")

    assert await impatient.asks("no-such-model", 3) == [404, 404, 404]
    async with client_of(impatient) as client:
        for path in ("/v1/chat/completions", "/v1/responses"):
            away = await client.post(path, content=never_read())
            assert (away.status_code, away.json()["error"]["code"]) == (429, "too_many_refusals")
            assert int(away.headers["retry-after"]) >= 1
    assert ("unknown", 429, "too_many_refusals", 2) in await told(impatient)


async def test_being_sent_away_is_no_refusal_that_counts(impatient: House) -> None:
    await impatient.asks("no-such-model", 20)
    impatient.access.refusal_limit._clock = lambda: 20.0
    assert await impatient.asks("free", 2) == [200, 200]


async def test_what_is_let_in_takes_nothing_of_the_limit(impatient: House) -> None:
    assert await impatient.asks("free", 9) == [200] * 9
    assert await impatient.asks("no-such-model", 1) == [404]


async def test_engines_failures_are_nobodys_refusals(impatient: House) -> None:
    for status in (500, 503, 429):
        impatient.engines.failing["free"] = status
        await impatient.asks("free", 4)
    impatient.engines.failing.clear()
    assert await impatient.asks("free", 1) == [200]


async def test_what_engines_refuse_for_a_clients_mistake_is_bounded_too(impatient: House) -> None:
    impatient.engines.failing["free"] = 400
    assert await impatient.asks("free", 5) == [400, 400, 400, 429, 429]
    assert len(await impatient.rows()) == 3
