"""The ledger closes: what it says was produced is what the engines produced, whoever died meanwhile."""

import asyncio
import contextlib
import random
import sqlite3
import uuid
from collections import Counter
from pathlib import Path

import httpx

from tests.e2e.ledger.conftest import TOKENS_PER_S
from tests.e2e.running import KEY, Raygate, raygate
from tests.e2e.waiting import within

CHAT = "/v1/chat/completions"
LOSS_S = 3
"""An interrupted request may have produced up to so many seconds of tokens that no ledger saw: the journal of open
requests is a second old at most, an engine stops within a second of its client, and a busy machine adds one."""


def rows_of(home: Path) -> dict[str, sqlite3.Row]:
    with contextlib.closing(sqlite3.connect(home / "raygate.db")) as database:
        database.row_factory = sqlite3.Row
        return {row["request_id"]: row for row in database.execute("SELECT * FROM requests")}


def produced(journal: Path) -> Counter[str]:
    return Counter(journal.read_text().split()) if journal.exists() else Counter()


class Crowd:
    """Clients that ask at the same time, some of whom leave early."""

    def __init__(self, running: Raygate) -> None:
        self._client = httpx.AsyncClient(base_url=running.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60)
        self.finished: set[str] = set()
        self.left: set[str] = set()

    async def ask(self, max_tokens: int, patience_s: float = 60) -> None:
        request_id = uuid.uuid4().hex
        body = {
            "model": "echo",
            "messages": [{"role": "user", "content": "some words to say"}],
            "max_tokens": max_tokens,
            "stream": True,
        }
        self.left.add(request_id)
        with contextlib.suppress(TimeoutError, httpx.TransportError):
            async with (
                asyncio.timeout(patience_s),
                self._client.stream("POST", CHAT, json=body, headers={"x-request-id": request_id}) as response,
            ):
                text = (await response.aread()).decode()
                if response.status_code == 200 and '"error"' not in text and text.endswith("data: [DONE]\n\n"):
                    self.finished.add(request_id)
        self.left -= self.finished

    async def __aenter__(self) -> "Crowd":
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._client.aclose()


def assert_closed(home: Path, journal: Path, crowd: Crowd) -> None:
    told, made = rows_of(home), produced(journal)
    for request_id in crowd.finished:
        assert told[request_id]["completion_tokens"] == made[request_id], request_id
    for request_id in crowd.left & set(made):
        unseen = made[request_id] - told[request_id]["completion_tokens"]
        assert -1 <= unseen <= LOSS_S * TOKENS_PER_S, request_id


def test_every_request_has_a_row_whatever_its_end(ledgered: Raygate) -> None:
    ids = {name: uuid.uuid4().hex for name in ("whole", "streamed", "refused", "unknown")}
    hello = {"model": "echo", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2, "user": "u-1"}
    with ledgered.client() as client:
        client.post(CHAT, json=hello, headers={"x-request-id": ids["whole"]})
        client.post(CHAT, json={**hello, "stream": True}, headers={"x-request-id": ids["streamed"]})
        client.post(CHAT, json={**hello, "max_tokens": -1}, headers={"x-request-id": ids["refused"]})
        client.post(CHAT, json={**hello, "model": "nope"}, headers={"x-request-id": ids["unknown"]})
    assert within(5, lambda: set(ids.values()) <= rows_of(ledgered.home).keys())
    rows = rows_of(ledgered.home)
    assert [rows[ids[name]]["status"] for name in ids] == [200, 200, 400, 404]
    assert [rows[ids[name]]["completion_tokens"] for name in ids] == [2, 2, 0, 0]
    assert rows[ids["whole"]]["user"] == "u-1"
    assert rows[ids["streamed"]]["finish_reason"] == "length"
    assert rows[ids["unknown"]]["error_code"] == "model_not_found"


def test_c2_10_a_client_that_left_is_noted_as_499(ledgered: Raygate) -> None:
    async def leave() -> Crowd:
        async with Crowd(ledgered) as crowd:
            await crowd.ask(500, patience_s=1)
        return crowd

    (gone,) = asyncio.run(leave()).left
    assert within(5, lambda: gone in rows_of(ledgered.home))
    assert rows_of(ledgered.home)[gone]["status"] == 499


def test_c2_13_what_takes_too_long_is_a_504_that_is_not_repeated_and_ends_its_work(ledgered: Raygate) -> None:
    request_id = uuid.uuid4().hex
    body = {"model": "echo", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 100 * TOKENS_PER_S}
    with ledgered.client() as client:
        late = client.post(CHAT, json=body, headers={"x-request-id": request_id})
    assert late.status_code == 504
    assert late.json()["error"]["code"] == "timeout"
    assert late.headers["x-should-retry"] == "false"
    assert within(5, lambda: request_id in rows_of(ledgered.home))
    row = rows_of(ledgered.home)[request_id]
    assert (row["status"], row["error_code"]) == (504, "timeout")
    assert row["completion_tokens"] < 100 * TOKENS_PER_S


def test_sums_reconcile_when_clients_leave_at_random(ledgered: Raygate, journal: Path) -> None:
    chance = random.Random(7)

    async def scene() -> Crowd:
        async with Crowd(ledgered) as crowd:
            asks = [crowd.ask(chance.randint(1, 100), patience_s=chance.choice([0.3, 0.8, 1.5, 60])) for _ in range(60)]
            await asyncio.gather(*asks)
        return crowd

    crowd = asyncio.run(scene())
    assert len(crowd.finished) > 10
    assert len(crowd.left) > 10
    assert within(10, lambda: crowd.finished | (crowd.left & set(produced(journal))) <= rows_of(ledgered.home).keys())
    assert_closed(ledgered.home, journal, crowd)


def test_sums_reconcile_when_an_engine_and_a_gateway_are_killed(ledgered: Raygate, journal: Path) -> None:
    async def scene() -> Crowd:
        async with Crowd(ledgered) as crowd, asyncio.TaskGroup() as tasks:
            for _ in range(30):
                tasks.create_task(crowd.ask(200))
            await asyncio.sleep(2)
            ledgered.processes("ServeReplica:model-echo:engine")[0].kill()
            await asyncio.sleep(0.5)
            ledgered.processes("ServeReplica:gateway:gateway")[0].kill()
        return crowd

    crowd = asyncio.run(scene())
    assert crowd.left
    interrupted = crowd.left & set(produced(journal))
    # A gateway replica that was killed is known dead after ten seconds: then its open requests are recorded as lost.
    assert within(40, lambda: crowd.finished | interrupted <= rows_of(ledgered.home).keys())
    assert_closed(ledgered.home, journal, crowd)
    codes = {rows_of(ledgered.home)[request_id]["error_code"] for request_id in interrupted}
    assert "lost" in codes


def test_a_graceful_stop_loses_no_row(configs: Path, tmp_path: Path) -> None:
    with raygate(configs / "echo.yaml", tmp_path) as running:
        hello = {"model": "echo", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
        for number in range(50):
            headers = {"authorization": f"Bearer {KEY}", "x-request-id": f"last-{number}"}
            httpx.post(running.url + CHAT, json=hello, headers=headers)
    assert {f"last-{number}" for number in range(50)} <= rows_of(tmp_path).keys()
