"""``HEAD`` is answered where ``GET`` is: probes use it (RFC 9110, 9.3.2)."""

from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI

from gateway.request.services import Services
from gateway.routes.health import health_router
from gateway.routes.models import models_router

NOTHING_BEHIND = cast("Services", None)


async def test_a_probe_may_ask_with_head() -> None:
    app = FastAPI()
    app.include_router(health_router(NOTHING_BEHIND))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        assert (await client.head("/healthz")).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/models", "/v1/models/{model:path}"])
def test_what_probes_read_has_both_methods(path: str) -> None:
    routes: list[Any] = [*health_router(NOTHING_BEHIND).routes, *models_router(NOTHING_BEHIND).routes]
    methods = {method for route in routes if route.path == path for method in route.methods}
    assert methods == {"GET", "HEAD"}
