"""``GET /healthz`` (this process), ``GET /readyz`` (every model) and ``GET /metrics``."""

import asyncio
import hmac
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from engines.base import TOKEN_HEADER
from gateway.http import errors
from gateway.request.identify import identify
from gateway.request.metrics import engine_loads, merged
from gateway.request.services import Services
from gateway.routing.readiness import ANSWERING, gravest

OWN_METRICS = "/internal/metrics"
"""Where gateway replicas ask each other for their figures, with the internal token."""


def health_router(services: Services) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["health"])

    @router.head("/healthz", include_in_schema=False)
    @router.get("/healthz", summary="Whether this gateway process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.head("/readyz", include_in_schema=False)
    @router.get("/readyz", summary="Whether every configured model is ready", responses={503: {}})
    async def readyz(response: Response) -> dict[str, Any]:
        states = await services.readiness.all()
        gravest_state = gravest(states.values())
        ready = gravest_state in ANSWERING
        response.status_code = 200 if ready else 503
        refused = [name for name, state in states.items() if state.state == "refused"]
        degraded = [*services.access.degraded, *(f"the provider of {name} refuses us" for name in refused)]
        status = "degraded" if ready and degraded else gravest_state
        models = {name: asdict(state) for name, state in states.items()}
        return {"status": status, "detail": "; ".join(degraded) or None, "models": models}

    @router.get("/metrics", summary="Figures of all gateway replicas, for Prometheus; needs a key")
    async def metrics(request: Request) -> Response:
        identify(services, request.scope)
        gateways = await services.replicas.siblings(OWN_METRICS)
        models = services.settings.models
        loads = await asyncio.gather(*(services.replicas.loads(model.application) for model in models))
        engines = engine_loads({model.name: load for model, load in zip(models, loads, strict=True)})
        return Response(merged([*gateways, engines]), media_type=CONTENT_TYPE_LATEST)

    @router.get(OWN_METRICS, include_in_schema=False)
    async def own_metrics(request: Request) -> Response:
        if not hmac.compare_digest(request.headers.get(TOKEN_HEADER.decode(), ""), services.internal_token):
            raise errors.unknown_route("GET")
        return Response(services.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    return router
