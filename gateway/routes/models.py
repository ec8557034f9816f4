"""``GET /v1/models`` and ``GET /v1/models/{id}``: what the key at hand may use."""

from typing import Any

from fastapi import APIRouter, Request

from auth.keys import may_use
from gateway.http import errors
from gateway.request.identify import identify
from gateway.request.services import Services


def models_router(services: Services) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["models"])

    @router.head("/v1/models", include_in_schema=False)
    @router.get("/v1/models", summary="List the models that the key may use")
    async def list_models(request: Request) -> dict[str, Any]:
        key = identify(services, request.scope)
        visible = [name for name in services.models.names() if may_use(key, name)]
        return {"object": "list", "data": [services.models.describe(name) for name in visible]}

    @router.head("/v1/models/{model:path}", include_in_schema=False)
    @router.get("/v1/models/{model:path}", summary="Describe one model")
    async def retrieve_model(model: str, request: Request) -> dict[str, Any]:
        key = identify(services, request.scope)
        if model not in services.models.names() or not may_use(key, model):
            raise errors.model_not_found()
        return services.models.describe(model)

    return router
