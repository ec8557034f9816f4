"""``GET /healthz`` (this process), ``GET /readyz`` (every model) and ``GET /metrics``."""

import asyncio
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from gateway.identify import identify
from gateway.services import Services


def health_router(services: Services) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz", summary="Whether this gateway process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz", summary="Whether every configured model is ready", responses={503: {}})
    async def readyz(response: Response) -> dict[str, Any]:
        states = await services.readiness.all()
        ready = all(state.state == "ready" for state in states.values())
        response.status_code = 200 if ready else 503
        status = "starting" if not ready else "degraded" if services.keys.degraded else "ready"
        models = {name: asdict(state) for name, state in states.items()}
        return {"status": status, "detail": services.keys.degraded, "models": models}

    @router.get("/metrics", summary="Figures for Prometheus; needs a key", response_class=Response)
    async def metrics(request: Request) -> Response:
        identify(services, request.scope, needs="inference")
        models = services.settings.models
        loads = await asyncio.gather(*(services.replicas.loads(model.application) for model in models))
        for model, load in zip(models, loads, strict=True):
            services.metrics.loads(model.name, load)
        return Response(services.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    return router
