"""A million keys in one gateway replica: how long it takes to load them, what they weigh, what a look-up takes.

``python -m benchmarks.many_keys DATABASE`` prints one JSON object; ``rows`` makes the table of two such runs.
"""

import asyncio
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, update

from auth.access import Access
from auth.keys import digest
from auth.limiter import OwnLeases
from auth.store import Store, sqlite_url
from auth.tables import KeyRow, ProjectRow, Revision, SecretRow
from benchmarks.report import Row

FEW, MANY = 1_000, 1_000_000
_BATCH = 20_000
_ROUNDS = 20


def rows() -> list[Row]:
    """Measure both sizes, each in a process of its own, and return the rows of the table."""
    with tempfile.TemporaryDirectory() as folder:
        few, many = (_measured(Path(folder) / str(count), count) for count in (FEW, MANY))
    return [
        Row(f"{MANY:,} keys in one gateway replica"),
        Row("seconds until they are loaded", compared=f"{many['load_s']:.1f} s", target="under 10 s"),
        Row("memory of the process, MB", compared=f"{many['rss_mb']:.0f} MB", target="under 600 MB"),
        Row(
            f"us a look-up, median (with {FEW:,} keys: {few['look_up_us']:.1f})",
            compared=f"{many['look_up_us']:.1f} us",
            target="unchanged",
        ),
        Row(
            f"us the first look-up of a key, which unpacks it, median (with {FEW:,} keys: {few['first_us']:.1f})",
            compared=f"{many['first_us']:.1f} us",
            target="unchanged",
        ),
    ]


def _measured(home: Path, count: int) -> dict[str, float]:
    home.mkdir()
    url = sqlite_url(home)
    asyncio.run(_fill(url, count))
    command = [sys.executable, "-m", "benchmarks.many_keys", url, str(count)]
    root = Path(__file__).parents[1]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout
    return dict(json.loads(told))


async def _fill(url: str, count: int) -> None:
    store = Store(url)
    await store.migrate()
    async with store.writing() as connection:
        project = (await connection.execute(select(ProjectRow.id))).scalar_one()
        for first in range(0, count, _BATCH):
            numbers = range(first, min(first + _BATCH, count))
            await connection.execute(insert(KeyRow), [_key(number, project) for number in numbers])
            await connection.execute(insert(SecretRow), [_secret(number) for number in numbers])
        await connection.execute(update(Revision).values(value=Revision.value + 1))
    await store.close()


def _key(number: int, project: str) -> dict[str, Any]:
    fields = {"id": f"key_{number:024d}", "name": f"user-{number}", "project_id": project, "version": 1}
    return {**fields, "scopes": '["inference"]', "models": '["*"]', "limits": "[]", "created_at": 1.7e9}


def _secret(number: int) -> dict[str, Any]:
    secret = _secret_of(number)
    fields = {"digest": digest(secret), "key_id": f"key_{number:024d}", "hint": secret[:8]}
    return {**fields, "created_at": 1.7e9, "revision": 1}


def _secret_of(number: int) -> str:
    return f"sk-{number:043d}"


async def _look(url: str, count: int) -> None:
    begun = time.perf_counter()
    access = await Access.open(url, OwnLeases(), replica="benchmark")
    load_s = time.perf_counter() - begun
    first, *later = (_look_ups(access, count) for _ in range(_ROUNDS))
    await access.close()
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = {
        "load_s": load_s,
        "rss_mb": peak_kb / 1024,
        "first_us": statistics.median(first) * 1e6,
        "look_up_us": statistics.median(itertools.chain.from_iterable(later)) * 1e6,
    }
    sys.stdout.write(json.dumps(figures))


def _look_ups(access: Access, count: int) -> list[float]:
    """Return the seconds that each look-up takes, of as many keys far apart however many there are."""
    times = []
    for step in range(FEW):
        header = f"Bearer {_secret_of(step * 7919 % count)}".encode()
        begun = time.perf_counter()
        access.identify(header)
        times.append(time.perf_counter() - begun)
    return times


if __name__ == "__main__":
    asyncio.run(_look(sys.argv[1], int(sys.argv[2])))
