"""What a gRPC server of Ray Serve tells whoever connects: of engines nothing, and nowhere which models there are."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from unittest.mock import Mock

import grpc
import pytest
from ray.serve._private.grpc_util import enable_server_reflection, gRPCGenericServer
from ray.serve.generated.serve_pb2_grpc import add_RayServeAPIServiceServicer_to_server

from gateway.grpc.serving import LISTING, add_services_of

CHAT, HEALTH = "/raygate.v1.Chat/Complete", "/grpc.health.v1.Health/Check"
READY = "/ray.serve.RayServeAPIService/Healthz"
"""By which HAProxy knows whether a server is up."""

Ask = Callable[[str], Awaitable[grpc.StatusCode]]


async def answers(*_: Any) -> bytes:
    """Stand where Ray Serve asks the replica."""
    return b""


@pytest.fixture
async def ask(request: pytest.FixtureRequest) -> AsyncIterator[Ask]:
    """Ask a server, set up as Ray Serve sets it up, for a method; return the status."""
    server = gRPCGenericServer(lambda service_method, streaming_type: answers)
    add_RayServeAPIServiceServicer_to_server(Mock(), server)
    add_services_of(request.param, Mock(), server)
    enable_server_reflection(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:

        async def asked(method: str) -> grpc.StatusCode:
            return await channel.unary_unary(method)(b"", timeout=10).code()

        yield asked
    await server.stop(None)


@pytest.mark.parametrize("ask", ["model-echo"], indirect=True)
async def test_an_engines_server_has_no_method(ask: Ask) -> None:
    for method in (CHAT, HEALTH, READY, LISTING, "/raygate.v1.Chat/call"):
        assert await ask(method) is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("ask", ["gateway", None], indirect=True)
async def test_a_gateways_and_a_proxys_server_have_all_but_the_list_of_models(ask: Ask) -> None:
    for method in (CHAT, HEALTH, READY):
        assert await ask(method) is grpc.StatusCode.OK
    assert await ask(LISTING) is grpc.StatusCode.UNIMPLEMENTED
