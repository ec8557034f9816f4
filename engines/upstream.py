"""Any OpenAI-compatible server elsewhere: for fallback to a hosted model, or to govern access to one."""

import os
from typing import Any

import aiohttp
import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ray.serve import Application
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from engines.base import Engine, EngineSettings, EngineStartError, Load, error_response
from engines.counted import Counted
from engines.replica import application


class UpstreamArgs(BaseModel):
    """The ``engine_args`` of an upstream model.

    Attributes:
        base_url: the server's URL up to and with ``/v1``.
        model: what that server calls the model; by default the model's own name.
        api_key_env: the environment variable that holds the server's key.
        connect_timeout_s: how long a connection may take.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(pattern=r"^https?://[^\s]+$")
    model: str | None = None
    api_key_env: str | None = None
    connect_timeout_s: float = Field(default=5, gt=0)


class UpstreamEngine(Engine):
    """Relays each request to the other server, under that server's name of the model."""

    kind = "upstream"

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        try:
            self._args = UpstreamArgs.model_validate(settings.engine_args)
        except ValidationError as error:
            first = error.errors()[0]
            raise EngineStartError(f"engine_args.{first['loc'][0]}: {first['msg']}") from None
        self._session: aiohttp.ClientSession | None = None
        routes = [Route("/v1/{path:path}", self._relay, methods=["POST"])]
        self._app = Counted(Starlette(routes=routes))

    async def start(self) -> ASGIApp:
        """Open the connection pool and return the app."""
        headers = {}
        if name := self._args.api_key_env:
            key = os.environ.get(name)
            if not key:
                raise EngineStartError(f"engine_args.api_key_env: the environment variable {name} is not set")
            headers["authorization"] = f"Bearer {key}"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._args.connect_timeout_s)
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector)
        return self._app

    def load(self) -> Load:
        """Return the requests that the other server works on for us."""
        return Load(running=self._app.running, waiting=0)

    async def stop(self) -> None:
        """Close the connection pool."""
        if self._session is not None:
            await self._session.close()

    async def _relay(self, request: Request) -> Response:
        assert self._session is not None, "start comes first"  # noqa: S101
        content_type, body = await _renamed(request, self._args.model or self.settings.model)
        url = f"{self._args.base_url.rstrip('/')}/{request.path_params['path']}"
        headers = {"x-request-id": request.headers.get("x-request-id", ""), "content-type": content_type}
        try:
            response = await self._session.post(url, data=body, headers=headers)
        except aiohttp.ClientError:
            return error_response(503, "The upstream server cannot be reached.", type="service_unavailable_error")
        return Relayed(response)


class Relayed(StreamingResponse):
    """The other server's response, as it comes; its connection is let go with the request, however that ends."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        kind = response.headers.get("content-type")
        super().__init__(response.content.iter_any(), response.status, media_type=kind)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what comes."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._response.close()


async def _renamed(request: Request, model: str) -> tuple[str, bytes]:
    """Return the content type and the body of a request, which asks for the model by its name elsewhere."""
    content_type = request.headers.get("content-type", "")
    raw = await request.body()
    if content_type.startswith("multipart/"):
        # The gateway writes the model as the last field.
        head, _, tail = raw.rpartition(b'name="model"\r\n\r\n')
        return content_type, head + b'name="model"\r\n\r\n' + model.encode() + tail[tail.index(b"\r\n--") :]
    return "application/json", orjson.dumps({**orjson.loads(raw), "model": model})


def build(args: dict[str, Any]) -> Application:
    """Return the Serve application of one upstream model; see :func:`engines.replica.application`."""
    return application(UpstreamEngine, args)
