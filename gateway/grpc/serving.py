"""Which methods the cluster's gRPC servers serve.

Ray Serve starts one in each replica and in each of its proxies, all on every interface. It adds to each a service of
its own, which lists the applications and so the models to whoever asks; then it hands the server to us. Clients come to
the gateway's replicas, and to a proxy where none is up: of engines nobody is to learn anything here, and of the list
nobody at all.
"""

from collections.abc import Callable
from typing import Any

from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from ray import serve
from ray.serve.exceptions import RayServeException

from gateway.grpc.chat_pb2_grpc import add_ChatServicer_to_server
from gateway.grpc.reflection import add_reflection

LISTING = "/ray.serve.RayServeAPIService/ListApplications"


def add_services(servicer: Any, server: Any) -> None:
    """Register what the server at hand is to serve: ``grpc_servicer_functions`` of a Serve config names this."""
    add_services_of(_application(), servicer, server)


def add_services_of(application: str | None, servicer: Any, server: Any) -> None:
    """Register what a server is to serve, and withhold what it already does.

    Args:
        application: whose replica the server belongs to; ``None`` for a proxy.
        servicer: stands for the services; Serve replaces its methods by ways to the replica's.
        server: Ray Serve's own, which does not listen yet.
    """
    if application not in (None, "gateway"):
        _keep(server, lambda method: False)
        return
    _keep(server, lambda method: method != LISTING)
    add_ChatServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]  # generated
    add_HealthServicer_to_server(servicer, server)
    add_reflection(servicer, server)


def _keep(server: Any, is_kept: Callable[[str], bool]) -> None:
    """Withhold methods, where Ray Serve replaces them."""
    for (service,) in server.generic_rpc_handlers:
        methods = service._method_handlers
        service._method_handlers = {method: handler for method, handler in methods.items() if is_kept(method)}


def _application() -> str | None:
    try:
        return str(serve.get_replica_context().app_name)
    except RayServeException:
        return None
