"""From a model to the replica that answers: the only file that knows Ray Serve's private parts.

Control goes through Ray Serve (its request router picks the replica), bytes over plain HTTP to that replica's own
port. Where no such port exists, an ordinary streaming handle call carries them.

The private parts, of the Ray version that pyproject.toml pins:

* ``handle.choose_replica(_reserve=False)``: picks a replica without a call to it;
* ``selection._replica.backend_http_endpoint``: the replica's own ``(host, port)``, or ``None``;
* ``handle._router``: leads to the running replicas, of which each tells its endpoint, node and metadata.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import aiohttp
import orjson
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle
from yarl import URL

from auth.usage import NOTHING, Usage
from engines.base import LOAD_PATH, STATUS_PORT, TOKEN_HEADER, USED_PATH, Load
from gateway.answers.answer import Answer, EngineLost, drain, read, retry_after_s
from gateway.http import errors

ATTEMPTS = 3
"""How many busy replicas are asked before the client is told that all are."""

DEAD_PATIENCE_S = 1.5
"""How long a replica that cannot be reached is passed over, until Serve's router has learnt of its death."""

RETRY_PAUSE_S = 0.05

GATHER_S = 1.0
"""How long a replica may take to tell its figures."""

COUNT_S = 3.0
"""How long a replica may take to tell what a request has used: until its work has ended, on a busy machine."""

_ALL_BUSY = "Every replica of the model is busy. Please retry."


class _Dead(Exception):
    """Nothing answers at the replica's endpoint."""


Endpoint = tuple[str, int]
"""Host and port."""


@dataclass(frozen=True)
class _Chosen:
    replica_id: str
    endpoint: Endpoint | None


@contextlib.asynccontextmanager
async def open_replicas(token: str) -> AsyncGenerator["Replicas", None]:
    """Yield the way to the engines; ``token`` is the cluster's internal token, which every engine wants to see."""
    async with aiohttp.ClientSession(
        # Engines close idle connections after 90 s: ours must be gone before.
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=2),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
    ) as session:
        yield Replicas(session, token)


class Replicas:
    """The engine replicas of the cluster, by application."""

    def __init__(self, session: aiohttp.ClientSession, token: str) -> None:
        """Args: session: its pool keeps connections to engines; token: the cluster's internal token."""
        self._session = session
        self._token = token
        self._handles: dict[tuple[str, str], DeploymentHandle[Any]] = {}
        self._in_flight: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def ask(
        self,
        application: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        patience_s: float,
        asked: Callable[[str], None],
    ) -> AsyncGenerator[Answer, None]:
        """POST to one replica of an application; busy and dead replicas are passed over.

        Args:
            application: the Serve application of the model.
            path: the engine's path, ``/v1/...``.
            headers: sent along with the internal token; among them the body's content type.
            body: sent as it is.
            patience_s: how long to wait for a replica to exist.
            asked: told the id of each replica before the request is sent to it.

        Raises:
            ApiError: 503, when no replica exists or all that were asked are busy.
            EngineLost: while reading the answer.
        """
        refusals, give_up_at = 0, time.monotonic() + DEAD_PATIENCE_S
        while refusals < ATTEMPTS:
            chosen = await self._choose(application, patience_s)
            self._in_flight[chosen.replica_id] += 1
            asked(chosen.replica_id)
            try:
                async with self._open(application, chosen, path, headers, body) as answer:
                    if answer is not None:
                        yield answer
                        return
                refusals += 1
            except _Dead:
                if time.monotonic() > give_up_at:
                    raise errors.model_loading() from None
            finally:
                self._in_flight[chosen.replica_id] -= 1
            await asyncio.sleep(RETRY_PAUSE_S)
        raise errors.overloaded(_ALL_BUSY)

    async def loads(self, application: str) -> dict[str, Load | None]:
        """Return each engine replica's own count of requests, by replica id; ``None`` for one that is silent."""
        bodies = await self._gather(self._handle(application), _status_endpoint, LOAD_PATH)
        return {replica: Load(**orjson.loads(body)) if body else None for replica, body in bodies.items()}

    async def used(self, application: str, replica: str, request: str) -> Usage | None:
        """Ask a replica what a request has used, by its engine's own count; it answers when the request has ended.

        Args:
            application: the Serve application of the model.
            replica: the replica that was asked.
            request: what ``REQUEST_HEADER`` was.

        Returns:
            nothing used, for a request that never came to the engine; ``None`` when the replica is away or cannot tell.
        """
        running = {each.replica_id.unique_id: each for each in await self._running(self._handle(application))}
        endpoint = _status_endpoint(running[replica]) if replica in running else None
        status, body = await self._get(endpoint, USED_PATH.format(request=request), COUNT_S)
        if status == 404:
            return NOTHING
        return Usage.of(orjson.loads(body)) if status == 200 else None

    async def siblings(self, path: str) -> dict[str, bytes | None]:
        """GET ``path`` from every gateway replica, this one included; ``None`` for one that is silent."""
        return await self._gather(self._handle("gateway", "gateway"), _http_endpoint, path)

    async def _gather(
        self, handle: DeploymentHandle[Any], endpoint_of: Callable[[Any], Endpoint | None], path: str
    ) -> dict[str, bytes | None]:
        """GET ``path`` from a deployment's running replicas; ``None`` for those that do not answer at once."""
        running = await self._running(handle)
        endpoints = {str(replica.replica_id.unique_id): endpoint_of(replica) for replica in running}
        answers = await asyncio.gather(*(self._get(endpoint, path, GATHER_S) for endpoint in endpoints.values()))
        told = zip(endpoints, answers, strict=True)
        return {replica: body if status == 200 else None for replica, (status, body) in told}

    async def _running(self, handle: DeploymentHandle[Any]) -> list[Any]:
        """Return Serve's records of the running replicas; a handle learns of them when it is first used."""
        with contextlib.suppress(TimeoutError, DeploymentUnavailableError):
            async with asyncio.timeout(GATHER_S):
                await self._draw(handle)
        return _running(handle)

    async def _choose(self, application: str, patience_s: float) -> _Chosen:
        handle = self._handle(application)
        running = _running(handle)
        if len(running) == 1:
            # There is nothing to choose, and Serve's router would take a tenth of the request's time for it.
            return _chosen(running[0])
        try:
            async with asyncio.timeout(patience_s):
                first = await self._draw(handle)
                if not self._in_flight[first.replica_id]:
                    return first
                # Serve's router draws without asking replicas; our own counts make it a choice of the less busy of two.
                second = await self._draw(handle)
        except BackPressureError:
            # As many requests as may be held back wait for a replica already.
            raise errors.overloaded(_ALL_BUSY) from None
        except (TimeoutError, DeploymentUnavailableError):
            raise errors.model_loading() from None
        return min(first, second, key=lambda chosen: self._in_flight[chosen.replica_id])

    async def _draw(self, handle: DeploymentHandle[Any]) -> _Chosen:
        async with handle.choose_replica(_reserve=False) as selection:
            return _chosen(selection._replica)

    def _handle(self, application: str, deployment: str = "engine") -> DeploymentHandle[Any]:
        name = (application, deployment)
        if name not in self._handles:
            self._handles[name] = serve.get_deployment_handle(deployment, application, _check_exists=False)
        return self._handles[name]

    @contextlib.asynccontextmanager
    async def _open(
        self, application: str, chosen: _Chosen, path: str, headers: Mapping[str, str], body: bytes
    ) -> AsyncGenerator[Answer | None, None]:
        """Yield the replica's answer, or ``None`` when it takes no more; raise ``_Dead`` when nothing is there."""
        sent = {**headers, TOKEN_HEADER.decode(): self._token}
        if chosen.endpoint is None:
            async with self._over_handle(application, chosen, path, sent, body) as answer:
                yield answer
            return
        try:
            response = await self._session.post(_url(*chosen.endpoint, path), data=body, headers=sent)
        except aiohttp.ClientError:
            raise _Dead from None
        try:
            if response.status == 503 and not response.headers.get("content-type", "").startswith("application/json"):
                # Serve's own back-pressure answers in plain text.
                yield None
            else:
                again_s = retry_after_s(response.headers) if response.status >= 400 else None
                yield Answer(response.status, chosen.replica_id, partial(read, response), again_s)
            await drain(response)
        finally:
            # Closes the connection unless the body was read to its end: that is how the engine learns to stop.
            response.close()

    @contextlib.asynccontextmanager
    async def _over_handle(
        self, application: str, chosen: _Chosen, path: str, headers: Mapping[str, str], body: bytes
    ) -> AsyncGenerator[Answer | None, None]:
        parts = self._handle(application).options(stream=True).call.remote("POST", path, dict(headers), body)
        try:
            yield await _answer_over_handle(parts, chosen.replica_id)
        finally:
            with contextlib.suppress(Exception):  # a call that never reached a replica raises again what kept it back
                parts.cancel()

    async def _get(self, endpoint: Endpoint | None, path: str, timeout_s: float) -> tuple[int, bytes]:
        """Return the status and the body; the status is 0 when there is none."""
        if endpoint is None:
            return 0, b""
        headers = {TOKEN_HEADER.decode(): self._token}
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        url = URL.build(scheme="http", host=endpoint[0], port=endpoint[1], path=path)
        try:
            async with self._session.get(url, headers=headers, timeout=timeout) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError):
            return 0, b""


@lru_cache(maxsize=4096)
def _url(host: str, port: int, path: str) -> URL:
    return URL.build(scheme="http", host=host, port=port, path=path)


async def _answer_over_handle(parts: AsyncIterator[Any], replica: str) -> Answer | None:
    """Return the answer, or ``None`` when Serve holds back no more requests; raise ``_Dead`` when the replica died."""
    try:
        status, headers = await anext(parts)
    except BackPressureError:
        return None
    except RayActorError:
        raise _Dead from None
    return Answer(status, replica, partial(_next_part, parts), retry_after_s(headers) if status >= 400 else None)


async def _next_part(parts: AsyncIterator[bytes]) -> bytes:
    try:
        return await anext(parts, b"")
    except Exception as error:  # Ray raises whatever ended the replica
        raise EngineLost from error


def _running(handle: DeploymentHandle[Any]) -> list[Any]:
    """Return Serve's records of the running replicas that this process knows of."""
    router = getattr(handle, "_router", None)
    request_router = router._asyncio_router.request_router if router is not None else None
    return list(request_router.curr_replicas.values()) if request_router is not None else []


def _chosen(replica: Any) -> _Chosen:
    return _Chosen(replica.replica_id.unique_id, _http_endpoint(replica))


def _http_endpoint(replica: Any) -> Endpoint | None:
    endpoint: Endpoint | None = replica.backend_http_endpoint
    return endpoint


def _status_endpoint(replica: Any) -> Endpoint | None:
    port = replica.replica_metadata.get(STATUS_PORT)
    return (replica._replica_info.node_ip, port) if port else None
