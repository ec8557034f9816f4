"""The admin API, put together."""

from fastapi import APIRouter, Security

from auth.keys import ADMIN
from gateway.request.services import Services
from gateway.routes.admin.audit import add_audit
from gateway.routes.admin.guard import BEARER, guarded
from gateway.routes.admin.keys import add_keys
from gateway.routes.admin.problems import PROBLEMS
from gateway.routes.admin.projects import add_projects
from gateway.routes.admin.refusals import add_refusals
from gateway.routes.admin.usage import add_usage


def admin_router(services: Services) -> APIRouter:
    """Return the routes."""
    router = APIRouter(
        prefix="/admin/v1",
        tags=["admin"],
        route_class=guarded(services, ADMIN),
        strict_content_type=False,  # as on the generating routes: a body is JSON, unless it says that it is not
        responses=PROBLEMS,
        dependencies=[Security(BEARER)],
    )
    add_projects(router, services)
    add_keys(router, services)
    add_usage(router, services)
    add_refusals(router, services)
    add_audit(router, services)
    return router
