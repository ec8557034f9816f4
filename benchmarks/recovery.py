"""A coordinator without memory, a large ledger, and a thousand used-up budgets that all ask at once."""

import asyncio
import tempfile
import time
from pathlib import Path

from sqlalchemy import text

from auth.counter import Counter
from auth.lease_actor import LeaseKeeper
from auth.leases import Demand, Report
from auth.limits import Limit
from auth.periods import DAY_S, period_of
from auth.store import Store, sqlite_url
from benchmarks.report import Row

PROJECTS = 1_000
_KEYS, _MODELS, _DAYS = 10, 3, 365
_USED = 100.0
_FILL = """
INSERT INTO usage_periods
WITH RECURSIVE owners(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM owners WHERE n + 1 < :owners),
               models(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM models WHERE n + 1 < :models)
SELECT :period, :owner, :owner || '-' || printf('%06d', owners.n), 'model-' || models.n, 'model-' || models.n,
       1, 0, 0, :cost
FROM owners, models
"""


def rows() -> list[Row]:
    """Fill a ledger of a year, lose the coordinator's memory, and return the rows of the table."""
    with tempfile.TemporaryDirectory() as folder:
        count, first_s, all_s, overshot = asyncio.run(_measured(Path(folder)))
    return [
        Row(f"{PROJECTS:,} used-up budgets after a restart, {count:,} sums in the ledger"),
        Row(
            "seconds until the first is known, until all are", compared=f"{first_s:.2f} s, {all_s:.2f} s", target="1 s"
        ),
        Row("budgets overshot", compared=str(overshot), target="0"),
    ]


async def _measured(home: Path) -> tuple[int, float, float, int]:
    store = Store(sqlite_url(home))
    await store.migrate()
    count = await _fill(store)
    month = period_of("month", time.time()).name
    limit = Limit("cost", "month", _USED)
    counters = [Counter(limit, "project", f"project-{number:06d}", month).id for number in range(PROJECTS)]
    demands = tuple(Demand(counter, _USED, 0, 0, 1, 0, DAY_S) for counter in counters)
    keeper = LeaseKeeper(store.url.render_as_string())
    began, known_s, overshot = time.perf_counter(), [0.0, 0.0], 0
    for number in range(1, 1000):
        grants = (await keeper.report(Report("gateway", number, demands))).grants.values()
        known = sum(grant.gone is not None for grant in grants)
        overshot += sum(grant.added > 0 for grant in grants)
        if known and not known_s[0]:
            known_s[0] = time.perf_counter() - began
        if known == PROJECTS:
            known_s[1] = time.perf_counter() - began
            break
    await store.close()
    return count, *known_s, overshot


async def _fill(store: Store) -> int:
    now, count = time.time(), 0
    days = [now - DAY_S * ago for ago in range(_DAYS)]
    names = {period_of("day", day).name for day in days} | {period_of("month", day).name for day in days}
    async with store.writing() as connection:
        for name in sorted(names):
            for owner, owners in (("key", PROJECTS * _KEYS), ("project", PROJECTS)):
                values = {"period": name, "owner": owner, "owners": owners, "models": _MODELS, "cost": _USED / _MODELS}
                await connection.execute(text(_FILL), values)
                count += owners * _MODELS
    return count
