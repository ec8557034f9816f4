"""What a gateway replica holds while it runs, opened together and closed together."""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from auth.snapshot import KeySnapshot
from auth.store import Store, sqlite_url
from engines.base import internal_token
from gateway.metrics import Metrics
from gateway.models import ModelTable
from gateway.readiness import Readiness, watch_models
from gateway.replicas import Replicas, open_replicas
from gateway.settings import GatewaySettings


@dataclass(frozen=True)
class Services:
    """The parts that requests pass through."""

    settings: GatewaySettings
    keys: KeySnapshot
    models: ModelTable
    readiness: Readiness
    replicas: Replicas
    metrics: Metrics
    internal_token: str


@contextlib.asynccontextmanager
async def open_services(settings: GatewaySettings, replica: str) -> AsyncGenerator[Services, None]:
    """Yield the services of one gateway replica.

    Args:
        settings: the replica's settings.
        replica: the replica's id, for the metrics.
    """
    async with contextlib.AsyncExitStack() as stack:
        store = Store(settings.database_url or sqlite_url(settings.home))
        stack.push_async_callback(store.close)
        await store.migrate()
        keys = await KeySnapshot.open(store)
        stack.push_async_callback(keys.close)
        token = internal_token(settings.home)
        yield Services(
            settings=settings,
            keys=keys,
            models=ModelTable.of(settings),
            readiness=await stack.enter_async_context(watch_models(settings.models)),
            replicas=await stack.enter_async_context(open_replicas(token)),
            metrics=Metrics(replica),
            internal_token=token,
        )
