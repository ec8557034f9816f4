"""``GET /healthz`` (this process), ``GET /readyz`` (every model) and ``GET /metrics``."""

import asyncio
import hmac
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from auth.checks import SCOPES
from auth.keys import ADMIN, METRICS, may_use
from engines.base import TOKEN_HEADER
from gateway.http import errors
from gateway.request.identify import identify
from gateway.request.metrics import engine_loads, gateways_up, merged
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
    async def readyz(request: Request, response: Response) -> dict[str, Any]:
        may_see = await _seen_by(services, request)
        states = await services.readiness.all()
        gravest_state = gravest(states.values())
        ready = gravest_state in ANSWERING
        response.status_code = 200 if ready else 503
        refused = [name for name, state in states.items() if state.state == "refused"]
        degraded = [*services.access.degraded, *(f"the provider of {name} refuses us" for name in refused)]
        status = "degraded" if ready and degraded else gravest_state
        if may_see is None:  # a probe needs no more, and a stranger is to learn no more
            return {"status": status}
        models = {name: asdict(state) for name, state in states.items() if may_see(name)}
        return {"status": status, "detail": "; ".join(degraded) or None, "models": models}

    @router.get("/metrics", summary="Figures of all gateway replicas, for Prometheus")
    async def metrics(request: Request) -> Response:
        identify(services, request.scope, needs=[METRICS, ADMIN])
        gateways = await services.replicas.siblings(OWN_METRICS)
        models = services.settings.models
        loads = await asyncio.gather(*(services.replicas.loads(model.application) for model in models))
        engines = {model.name: load for model, load in zip(models, loads, strict=True)}
        told = [figures for figures in gateways.values() if figures]
        up = {replica: figures is not None for replica, figures in gateways.items()}
        return Response(merged([*told, engine_loads(engines), gateways_up(up)]), media_type=CONTENT_TYPE_LATEST)

    @router.get(OWN_METRICS, include_in_schema=False)
    async def own_metrics(request: Request) -> Response:
        if not _is_internal(services, request):
            raise errors.unknown_route("GET")
        return Response(services.metrics.exposition(services.access.ledger.set_aside), media_type=CONTENT_TYPE_LATEST)

    return router


async def _seen_by(services: Services, request: Request) -> Callable[[str], bool] | None:
    """Return which models' states the one who asks may see; ``None`` for a stranger, who is no error here."""
    if _is_internal(services, request):
        return lambda model: True
    try:
        key = identify(services, request.scope, needs=SCOPES)
    except errors.ApiError as refusal:
        await asyncio.sleep(refusal.delay_s)  # here, too, whoever guesses keys waits
        return None
    return lambda model: ADMIN in key.scopes or may_use(key, model)


def _is_internal(services: Services, request: Request) -> bool:
    """Say whether one of the cluster's own processes, or somebody who may read its secrets, asks."""
    shown = request.headers.get(TOKEN_HEADER.decode(), "")
    return hmac.compare_digest(shown.encode(), services.internal_token.encode())
