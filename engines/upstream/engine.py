"""The engine: asks the other server under its own name of the model, and answers in our own form."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import orjson
import structlog
from pydantic import ValidationError
from ray.serve import Application
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp
from yarl import URL

from engines.base import Engine, EngineSettings, EngineStartError, Load
from engines.counted import Counted
from engines.replica import application
from engines.upstream.args import UpstreamArgs, credential
from engines.upstream.canonical import Chunks
from engines.upstream.failures import (
    UpstreamFailed,
    error_event,
    misconfigured,
    named_error_event,
    refused,
    unreachable,
    unusable,
)
from engines.upstream.named import NamedEvents
from engines.upstream.relayed import FAILURES, LOST, begun, failed
from engines.upstream.streamed import Streamed
from engines.upstream.whole import GENERATING, canonical

PROBE_S = 5.0
"""How long the first look at the other server may take; one that is down may come up later."""

WHOLE_LIMIT = 64 * 2**20
"""Bytes of a whole answer, or of an error's body."""

_MOVED = frozenset({307, 308})

log: Any = structlog.get_logger("raygate.upstream")


class UpstreamEngine(Engine):
    """Asks another server."""

    kind = "upstream"

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        try:
            self._args = UpstreamArgs.model_validate(settings.engine_args)
        except ValidationError as error:
            first = error.errors()[0]
            raise EngineStartError(f"engine_args.{first['loc'][0]}: {first['msg']}") from None
        self._session: aiohttp.ClientSession | None = None
        routes = [Route("/v1/{path:path}", self._answer, methods=["POST"])]
        self._app = Counted(Starlette(routes=routes))

    async def start(self) -> ASGIApp:
        """Open the connection pool, look whether the server takes the key, and return the app."""
        args = self._args
        headers = {"authorization": f"Bearer {credential(args.api_key_env)}"} if args.api_key_env else {}
        timeout = aiohttp.ClientTimeout(
            total=args.total_timeout_s, sock_connect=args.connect_timeout_s, sock_read=args.idle_timeout_s
        )
        self._session = aiohttp.ClientSession(
            headers=headers,
            timeout=timeout,
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),  # one key's cookie must not go along with another key's request
            trust_env=True,  # HTTP_PROXY, HTTPS_PROXY, NO_PROXY
        )
        await self._probe(self._session)
        return self._app

    def load(self) -> Load:
        """Return the requests that the other server works on for us."""
        return Load(running=self._app.running, waiting=0)

    async def stop(self) -> None:
        """Close the connection pool."""
        if self._session is not None:
            await self._session.close()

    async def _probe(self, session: aiohttp.ClientSession) -> None:
        """Refuse to start with a key that the server refuses; any other trouble may pass."""
        url, limit = self._url("models"), aiohttp.ClientTimeout(total=PROBE_S)
        try:
            async with session.get(url, allow_redirects=False, timeout=limit) as response:
                status = response.status
        except LOST:
            return
        if status == 401:
            await session.close()
            name = self._args.api_key_env
            key = f"the key in {name}" if name else "requests without a key (see engine_args.api_key_env)"
            raise EngineStartError(f"engine_args.base_url: the server there refuses {key}: status 401")

    def _url(self, path: str) -> str:
        return f"{self._args.base_url.rstrip('/')}/{path}"

    async def _answer(self, request: Request) -> Response:
        path: str = request.path_params["path"]
        content_type, body, fields = await _renamed(request, self._args.model or self.settings.model)
        headers = {"x-request-id": request.headers.get("x-request-id", ""), "content-type": content_type}
        async with AsyncExitStack() as held:
            try:
                response = await held.enter_async_context(self._asked(self._url(path), headers, body))
            except LOST:
                return unreachable()
            try:
                if response.status == 200 and fields.get("stream"):
                    events = await self._begun(path, response, fields)
                    return Streamed(events, held.pop_all())
                return self._whole(path, response, await _body(response))
            except FAILURES as failure:
                failed(self.settings.model, failure)
                return unusable()

    async def _begun(
        self, path: str, response: aiohttp.ClientResponse, fields: dict[str, Any]
    ) -> AsyncGenerator[bytes]:
        """Return the stream in our own form once it has begun; raises one of ``FAILURES`` when it does not."""
        if response.content_type != "text/event-stream":
            raise UpstreamFailed("it sent no stream where one was asked for")
        model = self.settings.model
        if path in GENERATING:
            return await begun(response, Chunks(model, path == "chat/completions", _choices(fields)), error_event())
        return await begun(response, NamedEvents(path, model), named_error_event())

    def _whole(self, path: str, response: aiohttp.ClientResponse, told: bytes) -> Response:
        if response.status != 200:
            ours = refused(response.status, response.headers, told)
            if ours.status_code == misconfigured().status_code:
                log.warning("upstream refuses", model=self.settings.model, status=response.status)
            return ours
        return Response(canonical(path, told, self.settings.model), media_type="application/json")

    @asynccontextmanager
    async def _asked(self, url: str, headers: dict[str, str], body: bytes) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Yield the response; its connection is let go with it. One redirect is followed, to the same origin alone."""
        assert self._session is not None, "start comes first"  # noqa: S101
        response = await self._session.post(url, data=body, headers=headers, allow_redirects=False)
        try:
            moved = response.headers.get("location")
            if response.status in _MOVED and moved:
                to = URL(url).join(URL(moved))
                if to.origin() == URL(url).origin():
                    response.release()
                    response = await self._session.post(to, data=body, headers=headers, allow_redirects=False)
            yield response
        finally:
            response.close()


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Return the whole body; aiohttp's ``read(n)`` returns what has come so far, which is not all of it."""
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > WHOLE_LIMIT:
            raise UpstreamFailed("it sent more than an answer may hold")
    return b"".join(parts)


def _choices(fields: dict[str, Any]) -> int:
    """Return how many choices a request asks for."""
    prompt = fields.get("prompt")
    prompts = len(prompt) if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int) else 1
    return prompts * int(fields.get("n") or 1)


async def _renamed(request: Request, model: str) -> tuple[str, bytes, dict[str, Any]]:
    """Return content type, body and fields of a request, which asks for the model by its name elsewhere."""
    content_type = request.headers.get("content-type", "")
    raw = await request.body()
    if content_type.startswith("multipart/"):
        # The gateway writes the model as the last field.
        head, _, tail = raw.rpartition(b'name="model"\r\n\r\n')
        body = head + b'name="model"\r\n\r\n' + model.encode() + tail[tail.index(b"\r\n--") :]
        return content_type, body, {}
    fields: dict[str, Any] = {**orjson.loads(raw), "model": model}
    return "application/json", orjson.dumps(fields), fields


def build(args: dict[str, Any]) -> Application:
    """Return the Serve application of one upstream model; see :func:`engines.replica.application`."""
    return application(UpstreamEngine, args)
