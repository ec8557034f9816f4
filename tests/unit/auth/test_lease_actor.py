import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from auth.lease_actor import NAME, NAMESPACE, RayLeases
from auth.limiter import Limiter
from auth.limits import Limit
from auth.store import Store, sqlite_url
from tests.unit.auth.simulation import ONE, admitted, key_with, project_with
from tests.unit.auth.test_snapshot import eventually


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, namespace="test")
    yield
    ray.shutdown()


async def test_replicas_share_a_limit_through_the_actor_and_outlive_its_death(cluster: None, tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    store = Store(url)
    await store.migrate()
    one, two = [await Limiter.open(await RayLeases.open(url), replica=name) for name in ("one", "two")]
    key, project = key_with(Limit("requests", "minute", 10)), project_with()

    async def send(limiter: Limiter, times: int) -> int:
        return sum([await admitted(limiter.reserve(key, project, model="m", estimate=ONE)) for _ in range(times)])

    assert await send(one, 6) == 6
    assert await send(two, 6) == 4

    actor = ray.get_actor(NAME, namespace=NAMESPACE)
    pid = await actor.__ray_call__.remote(lambda _: os.getpid())
    os.kill(pid, signal.SIGKILL)
    killed_at = time.monotonic()
    await eventually(lambda: min(one._answered_at, two._answered_at) > killed_at, within_s=60)
    assert (one.degraded, two.degraded) == (None, None)
    await asyncio.sleep(0.3)
    assert await send(one, 10) + await send(two, 10) <= 10
    await one.close()
    await two.close()
    await store.close()
    ray.kill(actor)
