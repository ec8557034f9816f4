"""Limits that several gateway replicas share, and a database that goes away."""

import asyncio
import json
import time
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import select

from auth.ledger_tables import RequestRow
from auth.store import Store
from tests.e2e.running import KEY, Raygate, raygate
from tests.e2e.waiting import within
from tests.postgres import PostgresServer, running_server

CHAT = "/v1/chat/completions"
HELLO = {"model": "echo", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
PER_MINUTE = 600
WINDOW_S = 60

CONFIG = """
models:
  - {{name: echo, engine: echo}}
gateway: {{replicas: 4}}
database_url: {url}
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with running_server() as server:
        yield server


@pytest.fixture(scope="module")
def four_gateways(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Iterator[Raygate]:
    home = tmp_path_factory.mktemp("limits")
    config = home / "limits.yaml"
    config.write_text(CONFIG.format(url=postgres.empty_database()))
    with raygate(config, home) as running:
        yield running


def raygate_json(running: Raygate, *arguments: str) -> dict[str, str]:
    config = str(running.home / "limits.yaml")
    done = running.raygate(*arguments, "--config", config, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


async def admitted(running: Raygate, key: str, *, rate: float, seconds: float) -> list[tuple[float, float]]:
    """Ask so many times a second, each on a connection of its own; return when who was let in asked, and was answered.

    In between lies the moment that the limit counts.
    """
    let_in: list[tuple[float, float]] = []
    headers = {"authorization": f"Bearer {key}", "connection": "close"}
    async with (
        httpx.AsyncClient(base_url=running.url, headers=headers, timeout=30) as client,
        asyncio.TaskGroup() as asks,
    ):

        async def ask() -> None:
            asked_at = time.monotonic()
            response = await client.post(CHAT, json=HELLO)
            if response.status_code == 200:
                let_in.append((asked_at, time.monotonic()))
            else:
                assert response.status_code == 429
                assert response.json()["error"]["code"] == "rate_limit_exceeded"

        begun = time.monotonic()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0, begun + number / rate - time.monotonic()))
            asks.create_task(ask())
    return sorted(let_in)


def busiest_window(let_in: list[tuple[float, float]]) -> int:
    """Return how many were surely let in within one minute: asked after its start, and answered before its end."""
    return max(
        sum(answered_at < start + WINDOW_S for _, answered_at in let_in[place:])
        for place, (start, _) in enumerate(let_in)
    )


def test_one_key_through_four_gateways_gets_its_limit_and_no_more(four_gateways: Raygate) -> None:
    made = raygate_json(four_gateways, "keys", "create", "driven", "--limit", f"requests/minute={PER_MINUTE}")
    assert within(5, lambda: httpx.get(f"{four_gateways.url}/v1/models", headers=bearer(made)).status_code == 200)
    let_in = asyncio.run(admitted(four_gateways, made["secret"], rate=5 * PER_MINUTE / 60, seconds=70))
    # Leases never add up to more than the limit; see auth/leases.py.
    assert busiest_window(let_in) <= PER_MINUTE
    began_at, _ = let_in[0]
    assert sum(answered_at < began_at + WINDOW_S for _, answered_at in let_in) >= 0.95 * PER_MINUTE


def test_known_keys_are_served_while_the_database_is_down_and_their_rows_follow(
    four_gateways: Raygate, postgres: PostgresServer
) -> None:
    ids = {f"while-down-{number}" for number in range(20)}
    postgres.stop()
    try:
        answers = [ask(four_gateways, request_id) for request_id in ids]
        assert within(10, lambda: readiness(four_gateways)["status"] == "degraded")
    finally:
        postgres.start()
    assert {answer.status_code for answer in answers} == {200}
    assert within(20, lambda: readiness(four_gateways)["status"] == "ready")
    assert within(20, lambda: ids <= asyncio.run(written(postgres)))


def ask(running: Raygate, request_id: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {KEY}", "x-request-id": request_id}
    return httpx.post(running.url + CHAT, json=HELLO, headers=headers, timeout=30)


def readiness(running: Raygate) -> dict[str, str]:
    body: dict[str, str] = httpx.get(f"{running.url}/readyz", timeout=10).json()
    return body


def bearer(made: dict[str, str]) -> dict[str, str]:
    return {"authorization": f"Bearer {made['secret']}"}


async def written(postgres: PostgresServer) -> set[str]:
    """Return the request ids in the ledger."""
    store = Store(postgres.url)
    try:
        async with store.reading() as connection:
            return set((await connection.execute(select(RequestRow.request_id))).scalars())
    finally:
        await store.close()
