"""Asks other models of the cluster, over Ray Serve's handles."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException
from ray.serve.handle import DeploymentHandle

from engines.base import application_name
from engines.pipeline.errors import ApiError

LOOK_S = 1.0
"""How long a model may be silent before Serve is asked whether it runs at all; until then nobody has to."""

Part = tuple[int, dict[str, str]] | bytes
"""Of an answer: first its status and headers, then its body's bytes as they arrive."""

Ask = Callable[[str, str, Mapping[str, str], bytes], AsyncGenerator[Part, None]]
"""Asks a model: its name, the path, headers, the body. Closing what it returns ends the model's work."""


class Handles:
    """The ways to the cluster's models, each found when it is first needed."""

    def __init__(self) -> None:
        self._handles: dict[str, DeploymentHandle[Any]] = {}

    async def ask(self, model: str, path: str, headers: Mapping[str, str], body: bytes) -> AsyncGenerator[Part, None]:
        """POST to one replica of a model.

        Raises:
            ApiError: 503, when no replica runs or none takes more; 500, when the one that answers dies.
        """
        handle = await self._handle(model)
        parts = handle.options(stream=True).call.remote("POST", path, dict(headers), body)
        try:
            yield await _first(parts, model)
            async for part in parts:
                yield part
        except BackPressureError:
            raise ApiError.overloaded() from None
        except DeploymentUnavailableError:
            raise ApiError.loading() from None
        except RayActorError:
            raise ApiError.broken() from None
        finally:
            with contextlib.suppress(Exception):  # a call that never reached a replica raises again what kept it back
                parts.cancel()

    async def _handle(self, model: str) -> DeploymentHandle[Any]:
        if model not in self._handles:
            try:
                # In a thread, since it asks Serve's controller and waits.
                found = await asyncio.to_thread(serve.get_deployment_handle, "engine", application_name(model))
            except RayServeException:
                raise ApiError.loading() from None
            self._handles[model] = found
        return self._handles[model]


async def _first(parts: Any, model: str) -> Part:
    """Return the first part; without a running replica, Serve would wait for one as long as it takes."""
    waiting = asyncio.ensure_future(anext(parts))
    try:
        while not (await asyncio.wait({waiting}, timeout=LOOK_S))[0]:
            if not await asyncio.to_thread(_is_running, application_name(model)):
                raise ApiError.loading()
        first: Part = waiting.result()
        return first
    finally:
        waiting.cancel()


def _is_running(application: str) -> bool:
    overview = serve.status().applications.get(application)
    deployments = overview.deployments.values() if overview else ()
    return any(deployment.replica_states.get("RUNNING", 0) for deployment in deployments)
