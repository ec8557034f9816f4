"""A request's life: identify -> read -> authorise -> admit -> route -> relay -> settle."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial

import orjson

from auth.keys import Key, may_use
from auth.rejection import Rejected
from auth.usage import Usage
from engines.base import REQUEST_HEADER
from gateway.answers.answer import Answer, EngineLost
from gateway.answers.engine_errors import UPSTREAM_MISCONFIGURED, UpstreamLimited, from_engine
from gateway.config.settings import ModelEntry
from gateway.endpoints.call import Call
from gateway.http import errors
from gateway.http.exchange import Response
from gateway.prompts.estimate import rough
from gateway.request.isolation import SALTED
from gateway.request.services import Services
from gateway.request.settlement import Settlement
from gateway.request.terms import INTERACTIVE, Terms
from gateway.request.validity import while_valid

_EVENT_STREAM = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


Read = Callable[[], Awaitable[Call]]
"""Reads and parses the request; raises a 4xx, or ``ClientGone``."""


async def answer(services: Services, key: Key, read: Read, response: Response, terms: Terms = INTERACTIVE) -> None:
    """Answer one request to a model, for ``key``, which is identified already.

    Raises:
        ApiError: whatever the client is to be told.
        ClientGone: nobody waits for an answer any more.
    """
    bounds = services.settings.bounds
    async with Settlement.of(services, key, response, terms) as settlement:
        call = await read()
        asked = services.models.asked_for(call.model)
        settlement.identified(asked, call)
        models = services.models.candidates(asked, partial(may_use, key), call.path)
        candidates = [terms.priced(model) for model in models]
        async with (
            _admitted(services, key, call, candidates[0], settlement),
            _deadline(bounds.request_timeout_s),
            contextlib.AsyncExitStack() as stack,
        ):
            if not terms.is_batch:
                stack.enter_context(services.traffic.entered(candidates[0].name))
            async with while_valid(services.access, key):
                answered = await _first_answer(stack, services, candidates, call, settlement)
            if call.stream:
                await _relay_stream(answered, call, settlement, services.settings.keep_alive_s)
            else:
                await _relay_whole(answered, call, settlement)


@contextlib.asynccontextmanager
async def _admitted(
    services: Services, key: Key, call: Call, model: ModelEntry, settlement: Settlement
) -> AsyncGenerator[None, None]:
    """Reserve what the request may use at most, and charge what it did use; 429 when a limit has no room for it."""
    bound = services.settings.bounds.assumed_completion_tokens if call.max_tokens is None else call.max_tokens
    estimate = Usage(await _prompt_tokens(services, key, call, model), bound * call.choices)
    reservation = services.access.reserve(key, model=model.name, estimate=estimate, price=model.price)
    try:
        async with reservation:
            settlement.admitted(reservation)
            settlement.response.extra += reservation.headers
            try:
                yield
            except BaseException:
                settlement.broke_off()
                raise
            finally:
                settlement.charge(reservation)
    except Rejected as rejection:
        settlement.response.extra += reservation.headers
        raise errors.rejected(rejection) from None


async def _prompt_tokens(services: Services, key: Key, call: Call, model: ModelEntry) -> int:
    """Count the prompt where a limit does; for the ledger of a request that ends early, a rough figure will do."""
    if services.access.counts_prompts(key, model=model.name):
        return await services.prompts.estimate(model, call)
    return rough(call)


async def _first_answer(
    stack: contextlib.AsyncExitStack,
    services: Services,
    candidates: list[ModelEntry],
    call: Call,
    settlement: Settlement,
) -> Answer:
    """Return the first answer that is not the engine's own failure, trying the candidates in order."""
    for model in candidates:
        try:
            answer = await _ask(stack, services, model, call, settlement)
        except errors.ApiError as error:
            settlement.refused()
            is_models_own = error.status >= 500 or isinstance(error, UpstreamLimited)
            if not is_models_own or model is candidates[-1]:
                raise
        else:
            settlement.answered()
            return answer
    raise errors.overloaded()


async def _ask(
    stack: contextlib.AsyncExitStack, services: Services, model: ModelEntry, call: Call, settlement: Settlement
) -> Answer:
    if not await services.readiness.is_ready(model.name):
        raise errors.model_loading()
    exchange = settlement.response.exchange
    content_type, body = call.body_for(model.name, _cache_salt(services, model, call, settlement.row.project_id))
    headers = {
        "x-request-id": exchange.request_id,
        REQUEST_HEADER.decode(): settlement.row.id,
        "content-type": content_type,
        **({"traceparent": exchange.traceparent} if exchange.traceparent else {}),
    }
    patience_s = services.settings.bounds.queue_timeout_s
    asking = services.replicas.ask(
        model.application, call.path, headers, body, patience_s=patience_s, asked=partial(settlement.asked, model)
    )
    answer = await stack.enter_async_context(asking)
    if answer.status >= 400:
        error = from_engine(answer.status, await _whole(answer), call.prompt_field, answer.retry_after_s)
        if error.code == UPSTREAM_MISCONFIGURED:
            services.readiness.refused(model.name)
        raise error
    services.readiness.taken(model.name)
    return answer


def _cache_salt(services: Services, model: ModelEntry, call: Call, project: str) -> str | None:
    if model.engine not in SALTED or not call.form.salted:
        return None
    return services.isolation.salt(project, call.payload.get("cache_salt"))


async def _relay_stream(answer: Answer, call: Call, settlement: Settlement, keep_alive_s: float) -> None:
    response = settlement.response
    stream = call.form.stream(call)
    settlement.streams(stream)
    await response.start(200, list(_EVENT_STREAM))
    # In a task of its own: here, every event would wake up each coroutine between Ray Serve and us.
    await asyncio.create_task(stream.relay(answer.read, response.chunk, keep_alive_s), name="relay")
    await response.end()


async def _relay_whole(answer: Answer, call: Call, settlement: Settlement) -> None:
    whole = call.form.whole(orjson.loads(await _whole(answer)))
    settlement.completed(whole)
    await settlement.response.json(answer.status, orjson.dumps(whole.body))


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
