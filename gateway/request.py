"""A request's life: identify -> read -> authorise -> admit -> route -> relay -> settle."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from starlette.types import Receive, Scope

from auth.keys import may_use
from gateway import errors, mend
from gateway.body import read_json
from gateway.exchange import Exchange, Response
from gateway.identify import identify
from gateway.relay import Stream, Usage
from gateway.replicas import Answer, EngineLost
from gateway.services import Services
from gateway.settings import Bounds, ModelEntry

_EVENT_STREAM = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


@dataclass(frozen=True)
class Call:
    """A generating request, parsed and within bounds.

    Attributes:
        path: where the engine is asked.
        model: the name that the client asked for, if it did.
        stream: whether the answer is a stream of events.
        include_usage: whether the client wants the usage chunk.
        payload: the body as the client sent it.
    """

    path: str
    model: str | None
    stream: bool
    include_usage: bool
    payload: dict[str, Any]

    def body_for(self, model: str) -> bytes:
        """Return the body for the engine of ``model``; its streams always tell their usage, for the ledger."""
        payload = {**self.payload, "model": model}
        if self.stream:
            payload["stream_options"] = {**(payload.get("stream_options") or {}), "include_usage": True}
        return orjson.dumps(payload)


@dataclass
class Progress:
    """How far a request has come; what is settled when it ends, however it ends."""

    answered_by: str | None = None
    replica: str | None = None
    stream: Stream | None = None
    usage: Usage | None = None
    first_token_s: float | None = None


Parse = Callable[[dict[str, Any], Bounds], Call]


async def generate(services: Services, parse: Parse, scope: Scope, receive: Receive, response: Response) -> None:
    """Answer one generating request.

    Args:
        parse: turns the endpoint's JSON into a :class:`Call`, or raises a 400.

    Raises:
        ApiError: whatever the client is to be told.
    """
    bounds = services.settings.bounds
    key = identify(services, scope)
    call = parse(await read_json(scope, receive, bounds), bounds)
    asked = services.models.asked_for(call.model)
    candidates = services.models.candidates(asked, partial(may_use, key))
    async with (
        _settled(services, asked, scope, response) as progress,
        _deadline(bounds.request_timeout_s),
        contextlib.AsyncExitStack() as stack,
    ):
        answer = await _first_answer(stack, services, candidates, call, response.exchange, progress)
        if call.stream:
            await _relay_stream(answer, call, response, progress, services.settings.keep_alive_s)
        else:
            await _relay_whole(answer, response, progress)


async def _first_answer(
    stack: contextlib.AsyncExitStack,
    services: Services,
    candidates: list[ModelEntry],
    call: Call,
    exchange: Exchange,
    progress: Progress,
) -> Answer:
    """Return the first answer that is not the engine's own failure, trying the candidates in order."""
    for model in candidates:
        try:
            answer = await _ask(stack, services, model, call, exchange)
        except errors.ApiError as error:
            if error.status < 500 or model is candidates[-1]:
                raise
        else:
            progress.answered_by, progress.replica = model.name, answer.replica
            return answer
    raise errors.overloaded()


async def _ask(
    stack: contextlib.AsyncExitStack, services: Services, model: ModelEntry, call: Call, exchange: Exchange
) -> Answer:
    if not await services.readiness.is_ready(model.name):
        raise errors.model_loading()
    headers = {"x-request-id": exchange.request_id}
    patience_s = services.settings.bounds.queue_timeout_s
    body = call.body_for(model.name)
    asking = services.replicas.ask(model.application, call.path, headers, body, patience_s=patience_s)
    answer = await stack.enter_async_context(asking)
    if answer.status >= 400:
        raise errors.from_engine(answer.status, await _whole(answer))
    return answer


async def _relay_stream(
    answer: Answer, call: Call, response: Response, progress: Progress, keep_alive_s: float
) -> None:
    stream = progress.stream = Stream(call.include_usage)

    async def send(events: bytes) -> None:
        if progress.first_token_s is None and stream.events:
            progress.first_token_s = response.exchange.elapsed_s()
        await response.chunk(events)

    await response.start(200, list(_EVENT_STREAM))
    await stream.relay(answer.read, send, keep_alive_s)
    await response.end()


async def _relay_whole(answer: Answer, response: Response, progress: Progress) -> None:
    completion = orjson.loads(await _whole(answer))
    progress.usage = Usage.of(completion)
    progress.first_token_s = response.exchange.elapsed_s()
    await response.json(answer.status, orjson.dumps(mend.completion(completion)))


async def _whole(answer: Answer) -> bytes:
    try:
        return await answer.body()
    except EngineLost:
        raise errors.engine_lost() from None


@contextlib.asynccontextmanager
async def _deadline(limit_s: float) -> AsyncGenerator[None, None]:
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError:
        raise errors.timeout(limit_s) from None


@contextlib.asynccontextmanager
async def _settled(services: Services, asked: str, scope: Scope, response: Response) -> AsyncGenerator[Progress, None]:
    """Count a request in, and out again with what it used: finished, refused, broken off or abandoned."""
    progress = Progress()
    status, code = 499, None
    services.metrics.begin(asked)
    try:
        yield progress
        status = response.status
    except errors.ApiError as error:
        status, code = response.status or error.status, error.code
        raise
    finally:
        stream = progress.stream
        usage = stream.usage if stream else progress.usage
        if stream and stream.error:
            code = stream.error.code or stream.error.type
        total_s = response.exchange.elapsed_s()
        services.metrics.end(
            asked,
            status=status,
            code=code,
            usage=usage,
            first_token_s=progress.first_token_s,
            total_s=total_s,
        )
        scope["raygate.facts"] = {
            "model": asked,
            "answered_by": progress.answered_by,
            "replica": progress.replica,
            "code": code,
            "prompt_tokens": usage.prompt_tokens if usage else None,
            "completion_tokens": usage.completion_tokens if usage else None,
        }
