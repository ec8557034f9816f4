"""Server reflection in its version 1: clients such as grpcurl learn the services from the server itself.

Ray Serve answers version 1alpha by itself, but of version 1, which newer clients ask first, it knows nothing. The two
differ in the package's name alone.
"""

from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from gateway.grpc import chat_pb2

SERVICE = "grpc.reflection.v1.ServerReflection"

NAMES = [
    chat_pb2.DESCRIPTOR.services_by_name["Chat"].full_name,
    health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
    SERVICE,
]


def add_reflection(servicer: Any, server: Any) -> None:
    """Register the service, as the functions do that protoc generates."""
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    service = grpc.method_handlers_generic_handler(SERVICE, {"ServerReflectionInfo": handler})
    server.add_generic_rpc_handlers((service,))


def reflector() -> reflection.aio.ReflectionServicer:
    """Return what answers questions about our services."""
    return reflection.aio.ReflectionServicer(NAMES)
