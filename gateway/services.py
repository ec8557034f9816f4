"""What a gateway replica holds while it runs, opened together and closed together."""

import contextlib
from collections.abc import AsyncGenerator, Iterator
from functools import partial

from auth.access import Access
from auth.late_rows import LateRows
from auth.lease_actor import RayLeases
from auth.store import Store, sqlite_url
from engines.base import internal_token
from gateway.config.settings import GatewaySettings
from gateway.prompts.estimate import Prompts
from gateway.request.isolation import Isolation
from gateway.request.late_counts import count_of, open_late_counts
from gateway.request.metrics import Metrics
from gateway.request.services import Services
from gateway.request.traffic import Traffic
from gateway.routing.models import ModelTable
from gateway.routing.readiness import watch_models
from gateway.routing.replicas import open_replicas
from objects.file_store import Files
from objects.storage import Storage


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
            refusals_per_minute=settings.bounds.max_refusals_per_minute,
            late_rows=LateRows(settings.home / "ledger"),
        )
        stack.push_async_callback(access.close)
        models = ModelTable.of(settings)
        yield Services(
            settings=settings,
            access=access,
            models=models,
            readiness=await stack.enter_async_context(watch_models(settings.models)),
            replicas=replicas,
            metrics=Metrics(replica, models.names()),
            prompts=Prompts(settings.home),
            isolation=Isolation.of(token, settings.cache_sharing),
            traffic=Traffic(),
            files=stack.enter_context(_open_files(settings, access.store)),
            late_counts=await stack.enter_async_context(open_late_counts(replicas)),
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
