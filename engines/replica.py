"""The Serve replica around one engine: starts it, guards it, watches it, and speaks for it over a handle as well."""

import asyncio
import contextlib
import hmac
import logging
import os
from collections.abc import AsyncGenerator, Mapping
from dataclasses import asdict
from typing import Any

import orjson
from ray import serve
from ray.serve import Application, Deployment
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engines.base import (
    CACHE_SALT_HEADER,
    LOAD_PATH,
    STATUS_PORT,
    TOKEN_HEADER,
    USED_PATH,
    Engine,
    EngineSettings,
    EngineStartError,
    error_response,
    internal_token,
)
from engines.status import StatusServer
from engines.used import UsedRecord

WATCH_S = 0.5
"""How soon a replica notices that its engine died."""

_log = logging.getLogger("ray.serve")


class InternalOnly:
    """An ASGI layer that answers 404 to whoever does not carry the internal token.

    Engine replicas may listen on every interface, and an engine's app has routes that no client may reach.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] == "http":
            shown = next((value for name, value in scope["headers"] if name == TOKEN_HEADER), b"")
            if not hmac.compare_digest(shown, self._token):
                await error_response(404, "Not found.")(scope, receive, send)
                return
        await self._app(scope, receive, send)


@serve.deployment(name="engine")
@serve.ingress()
class EngineReplica:
    """The Serve replica around one engine: starts it, guards it, and speaks for it over a handle as well."""

    async def __init__(self, engine: type[Engine], settings: EngineSettings) -> None:  # type: ignore[misc]  # awaited
        self._engine = engine(settings)
        try:
            app = await self._engine.start()
        except EngineStartError:
            await self._engine.stop()
            raise
        token = internal_token(settings.home)
        self._record = UsedRecord(app)
        self._asgi = InternalOnly(self._record, token)
        status = Starlette(routes=[Route(LOAD_PATH, self._load), Route(USED_PATH, self._used)])
        self._status = StatusServer(InternalOnly(status, token))
        self._watch = asyncio.create_task(self._end_with_engine(), name="engine-watch")

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return self._asgi

    def record_replica_metadata(self) -> dict[str, int]:
        """Tell Serve, which asks once, what gateways should know of this replica."""
        return {STATUS_PORT: self._status.port}

    async def check_health(self) -> None:
        """Tell Serve, which asks periodically, whether this replica still answers."""
        await self._engine.check_health()

    async def __del__(self) -> None:
        # Serve's hook for the end of a replica; it awaits it.
        if hasattr(self, "_watch"):
            self._watch.cancel()
            await self._status.close()
            await self._engine.stop()

    async def _end_with_engine(self) -> None:
        """End this process when its engine is dead.

        Serve replaces a dead replica within seconds, and an unhealthy one only after several failed checks, during
        which it would go on sending requests here.
        """
        while True:
            await asyncio.sleep(WATCH_S)
            try:
                await self._engine.check_health()
            except Exception as error:
                _log.error("engine of %s died: %s", self._engine.settings.model, type(error).__name__)
                await asyncio.sleep(WATCH_S)  # the error events of broken streams leave first
                os._exit(1)

    async def _load(self, _: Request) -> JSONResponse:
        return JSONResponse(asdict(self._engine.load()))

    async def _used(self, request: Request) -> Response:
        try:
            used = await self._record.used(request.path_params["request"])
        except KeyError:
            return error_response(404, "Not found.")
        return Response(status_code=204) if used is None else JSONResponse(asdict(used))

    async def call(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> AsyncGenerator[tuple[int, dict[str, str]] | bytes, None]:
        """Answer one request over a Serve handle, for clusters where the replica's own port cannot be reached.

        Yields:
            first ``(status, headers)``, then the body's chunks as the engine sends them.
        """
        if self._engine.takes_cache_salt and (salt := headers.get(CACHE_SALT_HEADER)):
            body = orjson.dumps({**orjson.loads(body), "cache_salt": salt})
        async with contextlib.aclosing(call_asgi(self._asgi, method, path, headers, body)) as parts:
            async for part in parts:
                yield part


async def call_asgi(
    app: ASGIApp, method: str, path: str, headers: Mapping[str, str], body: bytes
) -> AsyncGenerator[tuple[int, dict[str, str]] | bytes, None]:
    """Run one request through an ASGI app in this process; yields ``(status, headers)``, then body chunks.

    Closing the generator cancels the app's task, as a broken connection would.
    """
    parts: asyncio.Queue[Message | None] = asyncio.Queue()
    gone = asyncio.Event()
    request: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if request:
            return request.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def run() -> None:
        try:
            await app(scope, receive, parts.put)
        finally:
            parts.put_nowait(None)

    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
        "client": None,
        "server": None,
    }
    task = asyncio.create_task(run())
    try:
        while (message := await parts.get()) is not None:
            if message["type"] == "http.response.start":
                yield (
                    message["status"],
                    {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]},
                )
            elif message.get("body"):
                yield message["body"]
        await task
    finally:
        gone.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def application(engine: type[Engine], args: dict[str, Any]) -> Application:
    """Return the Serve application of one model: what every engine's ``build`` ends in.

    Args:
        engine: the engine's class.
        args: the application's ``args`` in a Serve config file, as :class:`EngineSettings` describes them.

    Raises:
        pydantic.ValidationError: when ``args`` has a missing, unknown or ill-typed field.
    """
    replica: Deployment = EngineReplica
    return replica.bind(engine, EngineSettings.model_validate(args))
