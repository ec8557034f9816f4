"""What a gateway replica holds while it runs, opened together and closed together."""

import contextlib
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from functools import partial

from auth.access import Access
from auth.lease_actor import RayLeases
from auth.store import Store, sqlite_url
from engines.base import internal_token
from gateway.isolation import Isolation
from gateway.late_counts import LateCounts, count_of, open_late_counts
from gateway.metrics import Metrics
from gateway.models import ModelTable
from gateway.prompts import Prompts
from gateway.readiness import Readiness, watch_models
from gateway.replicas import Replicas, open_replicas
from gateway.responses.background import Background, open_background
from gateway.settings import GatewaySettings
from gateway.traffic import Traffic
from objects.file_store import Files
from objects.storage import Storage


@dataclass(frozen=True)
class Services:
    """The parts that requests pass through."""

    settings: GatewaySettings
    access: Access
    models: ModelTable
    readiness: Readiness
    replicas: Replicas
    metrics: Metrics
    prompts: Prompts
    isolation: Isolation
    traffic: Traffic
    files: Files
    late_counts: LateCounts
    background: Background
    internal_token: str


@contextlib.asynccontextmanager
async def open_services(settings: GatewaySettings, replica: str) -> AsyncGenerator[Services, None]:
    """Yield the services of one gateway replica.

    Args:
        settings: the replica's settings.
        replica: the replica's id, for the metrics.
    """
    async with contextlib.AsyncExitStack() as stack:
        url = settings.database_url or sqlite_url(settings.home)
        await _migrate(url)
        token = internal_token(settings.home)
        replicas = await stack.enter_async_context(open_replicas(token))
        access = await Access.open(
            url,
            await RayLeases.open(url),
            replica=replica,
            identity=settings.identity,
            count_of=partial(count_of, replicas),
        )
        stack.push_async_callback(access.close)
        yield Services(
            settings=settings,
            access=access,
            models=ModelTable.of(settings),
            readiness=await stack.enter_async_context(watch_models(settings.models)),
            replicas=replicas,
            metrics=Metrics(replica),
            prompts=Prompts(settings.home),
            isolation=Isolation.of(token, settings.cache_sharing),
            traffic=Traffic(),
            files=stack.enter_context(_open_files(settings, access.store)),
            # Entered before what runs requests of its own: those count late as well.
            late_counts=await stack.enter_async_context(open_late_counts(replicas)),
            background=await stack.enter_async_context(open_background(access.store, replica, settings.responses)),
            internal_token=token,
        )


@contextlib.contextmanager
def _open_files(settings: GatewaySettings, store: Store) -> Iterator[Files]:
    storage = Storage(settings.files.url or str(settings.home / "files"), settings.files.options)
    try:
        yield Files(store, storage, settings.files.project_quota_bytes)
    finally:
        storage.close()


async def _migrate(url: str) -> None:
    store = Store(url)
    try:
        await store.migrate()
    finally:
        await store.close()
