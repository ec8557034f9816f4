"""The methods by which Ray Serve reaches a gateway replica over gRPC, and the functions that announce them to it.

Serve finds a method by the last part of a call's path: ``/raygate.v1.Chat/Stream`` is ``Stream``.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, AsyncIterable

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from ray.serve.grpc_util import RayServegRPCContext
from starlette.types import ASGIApp

from gateway.grpc.chat import complete, stream
from gateway.grpc.chat_pb2 import ChatChunk, ChatRequest, ChatResponse
from gateway.grpc.health import check, list_all, watch
from gateway.grpc.reflection import reflector
from gateway.request.services import Services

KEYLESS_STREAMS = 64
"""Streams at a time in one replica for clients that show no key, so that they leave the others room."""


class GrpcMethods:
    """What a deployment that answers over HTTP inherits to answer over gRPC as well.

    Attributes:
        _asgi: the app that answers.
        _services: what the replica holds.
    """

    _asgi: ASGIApp
    _services: Services

    @functools.cached_property
    def _keyless(self) -> asyncio.Semaphore:
        return asyncio.Semaphore(KEYLESS_STREAMS)

    async def Complete(self, request: ChatRequest, grpc_context: RayServegRPCContext) -> ChatResponse:
        """Answer a conversation, whole."""
        return await complete(self._asgi, request, grpc_context)

    async def Stream(self, request: ChatRequest, grpc_context: RayServegRPCContext) -> AsyncGenerator[ChatChunk, None]:
        """Answer a conversation as it is generated."""
        async with contextlib.aclosing(stream(self._asgi, request, grpc_context)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def Check(self, request: HealthCheckRequest, grpc_context: RayServegRPCContext) -> HealthCheckResponse:
        """Say whether a service is serving."""
        return await check(self._services.readiness, request.service, grpc_context)

    async def List(self, request: HealthListRequest) -> HealthListResponse:
        """Say of every service whether it is serving."""
        del request  # it has no fields
        return await list_all(self._services.readiness)

    async def Watch(
        self, request: HealthCheckRequest, grpc_context: RayServegRPCContext
    ) -> AsyncGenerator[HealthCheckResponse, None]:
        """Say whether a service is serving, now and when that changes."""
        if self._keyless.locked():
            _refuse(grpc_context)
            return
        limit_s = self._services.settings.bounds.request_timeout_s
        async with (
            self._keyless,
            contextlib.aclosing(watch(self._services.readiness, request.service, limit_s)) as states,
        ):
            async for state in states:
                yield state

    async def ServerReflectionInfo(
        self, requests: AsyncIterable[ServerReflectionRequest], grpc_context: RayServegRPCContext
    ) -> AsyncGenerator[ServerReflectionResponse, None]:
        """Answer questions about the services."""
        if self._keyless.locked():
            _refuse(grpc_context)
            return
        async with self._keyless:
            async for response in reflector().ServerReflectionInfo(requests, grpc_context):
                yield response


def _refuse(context: RayServegRPCContext) -> None:
    context.set_code(grpc.StatusCode.RESOURCE_EXHAUSTED)
    context.set_details("Too many clients watch this server. Please retry.")
