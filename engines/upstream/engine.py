"""The engine: asks the other server under its own name of the model, and answers in our own form."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
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
from engines.upstream.canonical import Chunks, parsed
from engines.upstream.failures import (
    UpstreamFailed,
    error_event,
    misconfigured,
    named_error_event,
    refused,
    unreachable,
    unusable,
)
from engines.upstream.sse import Event, EventReader, EventTooLong
from engines.upstream.streamed import Streamed
from engines.upstream.whole import GENERATING, canonical

PROBE_S = 5.0
"""How long the first look at the other server may take; one that is down may come up later."""

WHOLE_LIMIT = 64 * 2**20
"""Bytes of a whole answer, or of an error's body."""

AFTER_FINISH_S = 2.0
"""How long a stream whose choices have all ended may take to tell its usage, or its end."""

_MOVED = frozenset({307, 308})
_LOST = (aiohttp.ClientError, TimeoutError, ssl.SSLError)

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
        except _LOST:
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
        stack = self._asked(self._url(path), headers, body)
        try:
            response = await stack.__aenter__()
        except _LOST:
            return unreachable()
        if response.status == 200 and response.content_type == "text/event-stream" and fields.get("stream"):
            return Streamed(_relayed(response, path, self.settings.model, fields), stack)
        try:
            if response.status == 200 and fields.get("stream"):
                return self._failed("it sent no stream where one was asked for")
            return self._whole(path, response, await _body(response))
        except UpstreamFailed as failure:
            return self._failed(str(failure))
        except _LOST:
            return unusable()
        finally:
            await stack.__aexit__(None, None, None)

    def _whole(self, path: str, response: aiohttp.ClientResponse, told: bytes) -> Response:
        if response.status != 200:
            ours = refused(response.status, response.headers, told)
            if ours.status_code == misconfigured().status_code:
                log.warning("upstream refuses", model=self.settings.model, status=response.status)
            return ours
        return Response(canonical(path, told, self.settings.model), media_type="application/json")

    def _failed(self, reason: str) -> Response:
        log.warning("upstream failed", model=self.settings.model, reason=reason)
        return unusable()

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


async def _relayed(
    response: aiohttp.ClientResponse, path: str, model: str, fields: dict[str, Any]
) -> AsyncGenerator[bytes]:
    """Yield a stream in our own form; one that breaks off ends with an error event."""
    if path not in GENERATING:
        async for piece in _named(response):
            yield piece
        return
    chunks = Chunks(model, path == "chat/completions", _choices(fields))
    reader = EventReader()
    try:
        async for piece in _pieces(response, chunks):
            for event in reader.feed(piece):  # one by one: what came before a failure is told
                if ours := chunks.feed([event]):
                    yield ours
            if chunks.is_over:
                break
        else:
            yield chunks.feed(reader.end())
        yield chunks.end()
    except (UpstreamFailed, EventTooLong, *_LOST) as failure:
        log.warning("upstream failed", model=model, reason=str(failure) or type(failure).__name__)
        yield error_event()


async def _pieces(response: aiohttp.ClientResponse, chunks: Chunks) -> AsyncIterator[bytes]:
    """Yield the body as it comes, until some time after all choices have ended: heartbeats may go on for ever."""
    loop, ends_at = asyncio.get_running_loop(), None
    while True:
        if chunks.has_finished and ends_at is None:
            ends_at = loop.time() + AFTER_FINISH_S
        try:
            async with asyncio.timeout_at(ends_at):
                piece = await response.content.readany()
        except TimeoutError:
            if ends_at is None or loop.time() < ends_at:
                raise
            return
        if not piece:
            return
        yield piece


async def _named(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    """Yield the named events of other APIs, each with both its lines and whole; errors of the connection are raised."""
    reader = EventReader()
    try:
        async for piece in response.content.iter_any():
            for event in reader.feed(piece):
                yield _as_named(event)
        yield b"".join(map(_as_named, reader.end()))
    except (UpstreamFailed, EventTooLong) as failure:
        log.warning("upstream failed", reason=str(failure) or type(failure).__name__)
        yield named_error_event()


def _as_named(event: Event) -> bytes:
    if event.data == "[DONE]":
        return b"data: [DONE]\n\n"
    data = parsed(event.data)
    name = event.name or str(data.get("type") or "")
    head = f"event: {name}\n".encode() if name.replace(".", "").replace("_", "").isalnum() else b""
    return head + b"data: " + orjson.dumps(data) + b"\n\n"


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
