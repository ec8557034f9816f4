"""The ledger closes: what it says was produced is what the engines produced, whoever died meanwhile."""

import asyncio
import contextlib
import json
import random
import sqlite3
import uuid
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import httpx

from tests.e2e.ledger.conftest import TOKENS_PER_S
from tests.e2e.running import KEY, Raygate, raygate
from tests.e2e.waiting import within

CHAT = "/v1/chat/completions"
LOSS_S = 1
"""Of a stream whose engine was killed, as many seconds of tokens may have been produced and never relayed."""


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
        self.finished: dict[str, int] = {}
        self.left: set[str] = set()

    async def ask(self, max_tokens: int, *, stream: bool, patience_s: float = 60) -> None:
        request_id = uuid.uuid4().hex
        body = {
            "model": "echo",
            "messages": [{"role": "user", "content": "some words to say"}],
            "max_tokens": max_tokens,
            "stream": stream,
        }
        self.left.add(request_id)
        with contextlib.suppress(TimeoutError, httpx.TransportError):
            async with (
                asyncio.timeout(patience_s),
                self._client.stream("POST", CHAT, json=body, headers={"x-request-id": request_id}) as response,
            ):
                text = (await response.aread()).decode()
                if response.status_code == 200 and '"error"' not in text:
                    self.finished[request_id] = max_tokens
                    self.left.remove(request_id)

    async def __aenter__(self) -> "Crowd":
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._client.aclose()


def told(home: Path, of: Iterable[str]) -> dict[str, int]:
    """Return the completion tokens of those requests in the ledger."""
    rows = rows_of(home)
    return {request_id: rows[request_id]["completion_tokens"] for request_id in of}


def test_every_request_that_is_let_in_has_a_row(ledgered: Raygate) -> None:
    ids = {name: uuid.uuid4().hex for name in ("whole", "streamed")}
    hello = {"model": "echo", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2, "user": "u-1"}
    with ledgered.client() as client:
        client.post(CHAT, json=hello, headers={"x-request-id": ids["whole"]})
        client.post(CHAT, json={**hello, "stream": True}, headers={"x-request-id": ids["streamed"]})
    assert within(5, lambda: set(ids.values()) <= rows_of(ledgered.home).keys())
    rows = rows_of(ledgered.home)
    assert [rows[ids[name]]["status"] for name in ids] == [200, 200]
    assert [rows[ids[name]]["completion_tokens"] for name in ids] == [2, 2]
    assert rows[ids["whole"]]["user"] == "u-1"
    assert rows[ids["streamed"]]["finish_reason"] == "length"


def test_every_request_that_is_not_let_in_is_counted_by_its_reason(ledgered: Raygate) -> None:
    hello = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
    with ledgered.client() as client:
        for _ in range(3):
            client.post(CHAT, json={**hello, "max_tokens": -1})
        client.post(CHAT, json={**hello, "model": "nope"})

    def told() -> set[tuple[str, str, int]]:
        sums = json.loads(ledgered.raygate("refusals", "--json").stdout)
        return {(each["model"], each["code"], each["refusals"]) for each in sums}

    assert within(10, lambda: {("unknown", "invalid_value", 3), ("unknown", "model_not_found", 1)} <= told())


def test_c2_10_a_client_that_left_is_noted_as_499(ledgered: Raygate) -> None:
    async def leave() -> Crowd:
        async with Crowd(ledgered) as crowd:
            await crowd.ask(500, stream=True, patience_s=1)
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
            asks = [
                crowd.ask(
                    chance.randint(1, 100), stream=chance.random() < 0.5, patience_s=chance.choice([0.3, 0.8, 1.5, 60])
                )
                for _ in range(80)
            ]
            await asyncio.gather(*asks)
        return crowd

    crowd = asyncio.run(scene())
    assert len(crowd.finished) > 10
    assert len(crowd.left) > 10
    begun = crowd.finished.keys() | (crowd.left & produced(journal).keys())
    assert within(10, lambda: begun <= rows_of(ledgered.home).keys())
    made = produced(journal)
    assert told(ledgered.home, begun) == {request_id: made[request_id] for request_id in begun}
    assert told(ledgered.home, crowd.finished) == crowd.finished


async def crowd_and(kill: str, ledgered: Raygate) -> Crowd:
    """Return a crowd that had one of the processes of that name killed in the middle of its requests."""
    async with Crowd(ledgered) as crowd, asyncio.TaskGroup() as tasks:
        for number in range(24):
            tasks.create_task(crowd.ask(400, stream=number % 2 == 0))
        await asyncio.sleep(3)
        ledgered.processes(kill)[0].kill()
    return crowd


def test_what_an_engine_that_is_killed_had_relayed_is_paid_and_no_more(ledgered: Raygate, journal: Path) -> None:
    crowd = asyncio.run(crowd_and("ServeReplica:model-echo:engine", ledgered))
    interrupted = crowd.left & produced(journal).keys()
    assert interrupted
    assert within(10, lambda: crowd.finished.keys() | interrupted <= rows_of(ledgered.home).keys())
    assert told(ledgered.home, crowd.finished) == crowd.finished
    made, rows = produced(journal), rows_of(ledgered.home)
    streams = {request_id for request_id in interrupted if rows[request_id]["streamed"]}
    unseen = [made[request_id] - rows[request_id]["completion_tokens"] for request_id in streams]
    assert all(0 <= tokens <= LOSS_S * TOKENS_PER_S for tokens in unseen)
    # Who waited for a whole answer got nothing, and what it would have cost died with the engine.
    assert set(told(ledgered.home, interrupted - streams).values()) <= {0}


def test_what_a_gateway_that_is_killed_had_open_is_paid_by_the_engines_count(ledgered: Raygate, journal: Path) -> None:
    crowd = asyncio.run(crowd_and("ServeReplica:gateway:gateway", ledgered))
    interrupted = crowd.left & produced(journal).keys()
    # A replica that was killed is known dead after ten seconds: then its open requests are recorded as lost.
    assert within(40, lambda: crowd.finished.keys() | interrupted <= rows_of(ledgered.home).keys())
    made, rows = produced(journal), rows_of(ledgered.home)
    assert {rows[request_id]["error_code"] for request_id in interrupted} == {"lost"}
    assert told(ledgered.home, interrupted) == {request_id: made[request_id] for request_id in interrupted}
    assert told(ledgered.home, crowd.finished) == crowd.finished


def test_a_graceful_stop_loses_no_row(configs: Path, tmp_path: Path) -> None:
    with raygate(configs / "echo.yaml", tmp_path) as running:
        hello = {"model": "echo", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
        for number in range(50):
            headers = {"authorization": f"Bearer {KEY}", "x-request-id": f"last-{number}"}
            httpx.post(running.url + CHAT, json=hello, headers=headers)
    assert {f"last-{number}" for number in range(50)} <= rows_of(tmp_path).keys()
