import asyncio
import time

from auth.leases import Reply, Report
from auth.limiter import IDLE_REPORT_S, REPORT_S, Limiter, OwnLeases
from auth.limits import Limit
from tests.unit.auth.simulation import ONE, admitted, key_with, project_with


class Heard(OwnLeases):
    """A coordinator that notes when it was told what."""

    def __init__(self) -> None:
        super().__init__()
        self.reports: asyncio.Queue[tuple[float, Report]] = asyncio.Queue()

    async def report(self, report: Report) -> Reply:
        self.reports.put_nowait((time.monotonic(), report))
        return await super().report(report)


async def test_a_replica_that_counts_nothing_reports_now_and_then() -> None:
    heard = Heard()
    limiter = await Limiter.open(heard, replica="one")
    (first_at, first), (second_at, _) = await heard.reports.get(), await heard.reports.get()
    await limiter.close()
    assert first.demands == ()
    assert second_at - first_at >= IDLE_REPORT_S - REPORT_S


async def test_a_replica_that_counts_something_reports_ten_times_a_second() -> None:
    heard = Heard()
    limiter = await Limiter.open(heard, replica="one")
    await heard.reports.get()
    asked_at = time.monotonic()
    key = key_with(Limit("requests", "minute", 10))
    assert await admitted(limiter.reserve(key, project_with(), model="m", estimate=ONE))
    (_, first), *_, (last_at, _) = [await heard.reports.get() for _ in range(4)]
    await limiter.close()
    assert first.demands
    assert last_at - asked_at < 3 * IDLE_REPORT_S
