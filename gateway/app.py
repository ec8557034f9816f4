"""The FastAPI app and its Serve deployment: the list of routes, nothing else."""

import contextlib
import gc
import os
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from prometheus_client import disable_created_metrics
from ray import serve
from ray.serve import Application, Deployment
from starlette.types import ASGIApp

from gateway.batches.runner import batches_run
from gateway.config.settings import GatewaySettings
from gateway.grpc.service import GrpcMethods
from gateway.http.envelope import Envelope
from gateway.logs import configure_logs
from gateway.request.services import Services
from gateway.responses.background import Background, open_background
from gateway.routes.account import account_router
from gateway.routes.admin.router import admin_router
from gateway.routes.batches import batches_router
from gateway.routes.files import files_router
from gateway.routes.generating import generating_routes
from gateway.routes.health import health_router
from gateway.routes.models import models_router
from gateway.routes.responses import create_route, responses_router
from gateway.services import open_services

_GARBAGE_THRESHOLD = 20_000
"""By how many objects a replica grows before cycles are looked for: requests leave none and come by hundreds."""


class Api(FastAPI):
    """FastAPI with one layer of ours around its router in place of Starlette's error layers."""

    def build_middleware_stack(self) -> ASGIApp:
        """Return the app that FastAPI calls."""
        return Envelope(AsyncExitStackMiddleware(self.router))


def create_app(services: Services, background: Background) -> Api:
    """Return the front door."""
    app = Api(title="Raygate", version="0.1.0", docs_url=None, redoc_url=None)
    app.router.redirect_slashes = False
    app.router.routes.extend([*generating_routes(services), create_route(services, background)])
    app.include_router(models_router(services))
    app.include_router(health_router(services))
    app.include_router(account_router(services))
    app.include_router(responses_router(services, background))
    app.include_router(files_router(services))
    app.include_router(batches_router(services))
    app.include_router(admin_router(services))
    return app


# Serve makes a log record of every request, and only then looks whether anybody wants it.
@serve.deployment(name="gateway", logging_config={"enable_access_log": False, "log_level": "WARNING"})
@serve.ingress()
class Gateway(GrpcMethods):
    """A gateway replica; any number of them answer side by side."""

    async def __init__(self, settings: GatewaySettings) -> None:  # type: ignore[misc]  # Serve awaits it
        configure_logs()
        os.umask(0o077)  # files of clients are for this user alone, whoever started the cluster
        gc.set_threshold(_GARBAGE_THRESHOLD)
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for every figure, which nobody asks for
        self._stack = contextlib.AsyncExitStack()
        replica = serve.get_replica_context().replica_id.unique_id
        self._services = await self._stack.enter_async_context(open_services(settings, replica))
        # What runs requests of its own is left first: those count late as well.
        background = await self._stack.enter_async_context(
            open_background(self._services.access.store, replica, settings.responses, settings.home)
        )
        await self._stack.enter_async_context(batches_run(self._services, replica))
        self._asgi = create_app(self._services, background)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return self._asgi

    async def __del__(self) -> None:
        # Serve's hook for the end of a replica; it awaits it.
        if hasattr(self, "_stack"):
            await self._stack.aclose()


def build(args: dict[str, Any]) -> Application:
    """Return the gateway's Serve application.

    Args:
        args: the application's ``args`` in a Serve config file, as :class:`GatewaySettings` describes them.

    Raises:
        pydantic.ValidationError: when ``args`` has a missing, unknown or ill-typed field.
    """
    gateway: Deployment = Gateway
    return gateway.bind(GatewaySettings.model_validate(args))
