"""``grpc.health.v1.Health``: the gateway is serving when every model is ready, as ``GET /readyz`` has it."""

import asyncio
import time
from collections.abc import AsyncGenerator

import grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse, HealthListResponse
from ray.serve.grpc_util import RayServegRPCContext

from gateway.grpc import chat_pb2
from gateway.routing.readiness import ANSWERING, REFRESH_S, Readiness, gravest

SERVICES = ("", chat_pb2.DESCRIPTOR.services_by_name["Chat"].full_name)
"""The names that one may ask for; the empty one is the whole server."""


async def check(readiness: Readiness, service: str, context: RayServegRPCContext) -> HealthCheckResponse:
    """Answer ``Check``; NOT_FOUND for other services, as the protocol has it."""
    if service not in SERVICES:
        context.set_code(grpc.StatusCode.NOT_FOUND)
        context.set_details("There is no such service here.")
        return HealthCheckResponse()
    return await _state(readiness, service)


async def list_all(readiness: Readiness) -> HealthListResponse:
    """Answer ``List``: every service that may be asked for, with its state."""
    state = await _state(readiness, "")
    return HealthListResponse(statuses=dict.fromkeys(SERVICES, state))


async def watch(readiness: Readiness, service: str, limit_s: float) -> AsyncGenerator[HealthCheckResponse, None]:
    """Answer ``Watch``: the state now, then each change, until ``limit_s`` have passed: clients then watch anew."""
    until = time.monotonic() + limit_s
    told = None
    while time.monotonic() < until:
        state = await _state(readiness, service)
        if state != told:
            yield state
        told = state
        await asyncio.sleep(REFRESH_S)


async def _state(readiness: Readiness, service: str) -> HealthCheckResponse:
    if service not in SERVICES:
        return HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)
    ready = gravest((await readiness.all()).values()) in ANSWERING
    return HealthCheckResponse(status=HealthCheckResponse.SERVING if ready else HealthCheckResponse.NOT_SERVING)
