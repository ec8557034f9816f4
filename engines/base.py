"""The contract: an engine is an ASGI app that speaks OpenAI.

The gateway never re-implements an engine's API, and an engine never knows about keys, limits or users.
To add an engine, write one file with one class and one builder::

    class Parrot(Engine):
        async def start(self) -> ASGIApp:
            async def chat(request: Request) -> Response:
                body = await request.json()
                return JSONResponse({"object": "chat.completion", "model": self.settings.model, ...})

            return Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])

        def load(self) -> Load:
            return Load(running=0, waiting=0)


    def build(args: dict[str, Any]) -> Application:
        return application(Parrot, args)

What an engine's app owes the gateway:

* the paths, bodies and status codes of the OpenAI API, under ``/v1``;
* ``usage`` in every answer, and in a last chunk when ``stream_options.include_usage`` is true;
* whole server-sent events in each ASGI send;
* an end to the work when the request's task is cancelled, since that is how a client's absence arrives.
"""

import asyncio
import contextlib
import hmac
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve import Application, Deployment
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engines.status import StatusServer

TOKEN_HEADER = b"x-raygate-internal"
"""Carries the cluster's internal token on every request from a gateway to an engine."""

LOAD_PATH = "/load"
"""Where an engine replica's status port tells how many requests it runs and holds back."""

STATUS_PORT = "status_port"
"""The name of that port in the replica's metadata, which Ray Serve's request router knows."""


def default_home() -> Path:
    """Return the folder of the database, secrets and converted models: ``RAYGATE_HOME`` or ``~/.raygate``."""
    return Path(os.environ.get("RAYGATE_HOME") or "~/.raygate").expanduser()


class EngineSettings(BaseModel):
    """What a model's entry in the configuration tells its engine.

    Attributes:
        model: the name that clients put in ``model``.
        source: where the weights come from: ``embedded:NAME``, a folder, or a hub id; none for engines without weights.
        engine_args: the engine's own settings, handed to it as they are.
        home: the folder that holds the internal token and the converted models.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    source: str | None = None
    engine_args: dict[str, Any] = Field(default_factory=dict)
    home: Path = Field(default_factory=default_home)


@dataclass(frozen=True)
class Load:
    """How many requests an engine replica generates for, and how many wait inside it."""

    running: int
    waiting: int


class Engine(ABC):
    """One engine in one replica. Subclasses keep heavy imports inside ``start``."""

    kind: ClassVar[str]

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings

    @abstractmethod
    async def start(self) -> ASGIApp:
        """Load the model and return the app that answers for it.

        Raises:
            EngineStartError: with the root cause in one line, when the model cannot be served.
        """

    @abstractmethod
    def load(self) -> Load:
        """Return the replica's own count of requests, from the engine's scheduler where it has one."""

    async def check_health(self) -> None:  # noqa: B027 - healthy unless an engine knows better
        """Raise when the engine can no longer answer: Serve then replaces the replica."""

    async def stop(self) -> None:  # noqa: B027 - most engines end with their process
        """Free what ``start`` took: processes, threads, memory. Called once, at most some seconds before the end."""


class EngineStartError(RuntimeError):
    """An engine could not start; the message is the root cause, in one line, for an operator to read."""


def error_response(
    status: int,
    message: str,
    *,
    type: str = "invalid_request_error",  # noqa: A002 - the API's own word
    code: str | None = None,
    param: str | None = None,
) -> JSONResponse:
    """Return the API's error shape: all four fields, always (OpenAI's ``Error`` schema)."""
    return JSONResponse({"error": {"message": message, "type": type, "param": param, "code": code}}, status_code=status)


def internal_token(home: Path) -> str:
    """Return the secret that gateways and engines of one cluster share.

    ``RAYGATE_INTERNAL_TOKEN`` wins, as clusters of several machines need; else it is kept in ``home``, readable
    by its owner alone, and made by whoever comes first.
    """
    if from_environment := os.environ.get("RAYGATE_INTERNAL_TOKEN"):
        return from_environment
    path = home / "secrets" / "internal_token"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Written aside and linked into place: nobody can read a half-written token, and the first writer wins.
    aside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    aside.touch(mode=0o600)
    try:
        aside.write_text(secrets.token_urlsafe(32))
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    finally:
        aside.unlink()
    return path.read_text()


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
        self._asgi = InternalOnly(app, token)
        status = Starlette(routes=[Route(LOAD_PATH, self._load)])
        self._status = StatusServer(InternalOnly(status, token))

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
        if hasattr(self, "_status"):
            await self._status.close()
            await self._engine.stop()

    async def _load(self, _: Request) -> JSONResponse:
        return JSONResponse(asdict(self._engine.load()))

    async def call(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> AsyncGenerator[tuple[int, dict[str, str]] | bytes, None]:
        """Answer one request over a Serve handle, for clusters where the replica's own port cannot be reached.

        Yields:
            first ``(status, headers)``, then the body's chunks as the engine sends them.
        """
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
