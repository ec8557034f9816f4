"""What happens when the database stops, and when a gateway replica is killed."""

import asyncio
import signal
import subprocess
import sys
import time

from sqlalchemy import select

from auth.access import Access
from auth.keys import create_key, revoke_key
from auth.ledger_row import LedgerRow
from auth.ledger_tables import RequestRow
from auth.limiter import OwnLeases
from auth.limits import Limit
from auth.reaper import Reaper
from auth.store import Store
from auth.usage import Usage
from auth.usage_report import usage
from tests.postgres import PostgresServer
from tests.unit.auth.simulation import admitted
from tests.unit.auth.test_snapshot import eventually, knows

GATEWAY = """
import asyncio, sys
from auth.ledger import Ledger
from auth.ledger_row import LedgerRow
from auth.store import Store

async def main(url):
    ledger = await Ledger.open(Store(url), gateway="victim")
    open_rows = [LedgerRow("r", "key_1", "default", "m", model="m", prompt_tokens=10) for _ in range(20)]
    tokens = 0
    for row in open_rows:
        ledger.begin(row)
        ledger.follow(row.id, lambda: tokens)
    while True:
        tokens += 1
        done = LedgerRow("r", "key_1", "default", "m", model="m", completion_tokens=1, status=200)
        ledger.begin(done)
        ledger.record(done)
        print(tokens, flush=True)
        await asyncio.sleep(0.01)

asyncio.run(main(sys.argv[1]))
"""


async def test_while_the_server_is_down_keys_and_limits_hold_and_rows_wait(postgres: PostgresServer) -> None:
    url = postgres.empty_database()
    store = Store(url)
    await store.migrate()
    _, secret = await create_key(store, name="laptop", limits=[Limit("requests", "minute", 5)])
    access = await Access.open(url, OwnLeases(), replica="gateway-1")

    postgres.stop()
    try:
        await eventually(lambda: len(access.degraded) == 2, within_s=10)
        key = access.keys.identify(f"Bearer {secret}")
        results = [await admitted(access.reserve(key, model="m", estimate=Usage(1, 1))) for _ in range(7)]
        for _ in range(5):
            access.ledger.record(LedgerRow("r", key.id, key.project, "m", completion_tokens=2, status=200))
        await asyncio.sleep(0.5)
    finally:
        postgres.start()

    assert results == [True] * 5 + [False] * 2
    await eventually(lambda: access.degraded == [], within_s=15)
    await revoke_key(store, "laptop")
    await eventually(lambda: not knows(access.keys, secret), within_s=2)
    await access.close()
    (total,) = (await usage(store, since=time.time() - 7200, until=time.time() + 7200)).sums
    assert (total.requests, total.completion_tokens) == (5, 10)
    await store.close()


async def test_after_a_kill_at_most_a_second_of_rows_is_missing_and_open_requests_are_lost(
    store: Store, database_url: str
) -> None:
    victim = subprocess.Popen([sys.executable, "-c", GATEWAY, database_url], stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None
    deadline = time.monotonic() + 30
    said = 0
    while said < 250 and time.monotonic() < deadline:
        said = int(await asyncio.to_thread(victim.stdout.readline))
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    before = said - 100  # what had happened a second earlier, at a hundred a second at most

    reaper = Reaper(store, "survivor", silent_for_s=0.3)
    await reaper.look()
    await asyncio.sleep(0.4)
    await reaper.look()

    async with store.reading() as connection:
        rows = (await connection.execute(select(RequestRow.error_code, RequestRow.completion_tokens))).all()
    lost = [tokens for code, tokens in rows if code == "lost"]
    done = [tokens for code, tokens in rows if code is None]
    assert len(lost) == 20
    assert all(before <= tokens <= said for tokens in lost)
    assert before <= len(done) <= said + 1
