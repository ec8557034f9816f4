"""Clients that show no key leave the others room."""

from collections.abc import AsyncIterator

import grpc
import pytest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from ray.serve.grpc_util import RayServegRPCContext

from gateway.grpc.reflection import SERVICE, add_reflection
from gateway.grpc.service import KEYLESS_STREAMS, GrpcMethods

LIST = ServerReflectionRequest(list_services="")


class Servicer:
    """Calls ours as Ray Serve does."""

    def __init__(self) -> None:
        self._methods = GrpcMethods()

    async def ServerReflectionInfo(  # noqa: N802
        self, requests: AsyncIterator[ServerReflectionRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[ServerReflectionResponse]:
        wrapped = RayServegRPCContext(context)
        async for response in self._methods.ServerReflectionInfo(requests, wrapped):
            yield response
        wrapped._set_on_grpc_context(context)


@pytest.fixture
async def reflect() -> AsyncIterator[grpc.aio.StreamStreamMultiCallable]:
    server = grpc.aio.server()
    add_reflection(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel.stream_stream(
            f"/{SERVICE}/ServerReflectionInfo",
            request_serializer=ServerReflectionRequest.SerializeToString,
            response_deserializer=ServerReflectionResponse.FromString,
        )
    await server.stop(None)


async def test_streams_without_a_key_are_bounded_and_free_their_room(
    reflect: grpc.aio.StreamStreamMultiCallable,
) -> None:
    held = [reflect() for _ in range(KEYLESS_STREAMS)]
    for stream in held:
        await stream.write(LIST)
        assert (await stream.read()).HasField("list_services_response")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await reflect(iter([LIST])).read()
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    for stream in held:
        await stream.done_writing()
        assert await stream.code() is grpc.StatusCode.OK
    again = reflect(iter([LIST]))
    assert (await again.read()).HasField("list_services_response")
