"""A request's life: identify -> read -> authorise -> admit -> route -> relay -> settle."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import orjson

from auth.keys import Key, may_use
from auth.rejection import Rejected
from auth.usage import Usage
from engines.base import REQUEST_HEADER
from gateway.answers.answer import Answer, EngineLost
from gateway.answers.engine_errors import UPSTREAM_MISCONFIGURED, UpstreamLimited, from_engine
from gateway.answers.form import parsed
from gateway.config.settings import ModelEntry
from gateway.endpoints.call import Call
from gateway.http import errors
from gateway.http.exchange import Response
from gateway.prompts.estimate import rough
from gateway.request.company import begin_stream, company
from gateway.request.isolation import SALTED
from gateway.request.plausible import most_of
from gateway.request.refusing import hear
from gateway.request.services import Services
from gateway.request.settlement import Settlement
from gateway.request.terms import INTERACTIVE, Terms
from gateway.request.validity import while_valid


@dataclass(frozen=True)
class _Problem:
    """Why a candidate has not answered, and how the limits stood then."""

    error: errors.ApiError
    limits: list[tuple[bytes, bytes]]
    is_rejection: bool = False


Read = Callable[[], Awaitable[Call]]
"""Reads and parses the request; raises a 4xx, or ``ClientGone``."""


async def answer(services: Services, key: Key, read: Read, response: Response, terms: Terms = INTERACTIVE) -> None:
    """Answer one request to a model, for ``key``, which is identified already.

    Raises:
        ApiError: whatever the client is to be told.
        ClientGone: nobody waits for an answer any more.
    """
    bounds = services.settings.bounds
    async with Settlement.of(services, key, response, terms) as settlement, while_valid(services.access, key) as watch:
        if not terms.is_batch:
            hear(services.access, key)
        call = await read()
        asked = services.models.asked_for(call.model)
        settlement.identified(asked, call)
        models = services.models.candidates(asked, partial(may_use, key), call.path)
        key = watch.of_model(asked)
        candidates = [terms.priced(model) for model in models]
        async with _deadline(bounds.request_timeout_s), contextlib.AsyncExitStack() as stack:
            every_s = services.settings.keep_alive_s
            async with company(response, every_s) if call.stream and every_s else contextlib.nullcontext():
                answered = await _first_answer(stack, services, key, candidates, call, settlement)
            if services.settings.on_revoke == "finish":
                watch.end()
            if call.stream:
                await _relay_stream(answered, call, settlement, every_s)
            else:
                await _relay_whole(answered, call, settlement)


async def _first_answer(
    stack: contextlib.AsyncExitStack,
    services: Services,
    key: Key,
    candidates: list[ModelEntry],
    call: Call,
    settlement: Settlement,
) -> Answer:
    """Return the first answer that is not the engine's own failure, trying the candidates in order.

    Each is admitted at its own price before it is asked, and only the one that answers stays so, until ``stack`` ends.
    One for which the limits have no room is passed over; if then nobody answers, the client is told of the first such.
    """
    problems: list[_Problem] = []
    for model in candidates:
        bounded = _bounded(services, key, call, model, settlement)
        async with contextlib.AsyncExitStack() as attempt:
            try:
                await attempt.enter_async_context(_admitted(services, key, bounded, model, settlement))
                answer = await _ask(attempt, services, model, bounded, settlement)
            except Rejected as rejection:
                problems.append(_Problem(errors.rejected(rejection), settlement.response.limits, is_rejection=True))
            except errors.ApiError as error:
                settlement.refused()
                if error.status < 500 and not isinstance(error, UpstreamLimited):
                    raise
                problems.append(_Problem(error, settlement.response.limits))
            else:
                settlement.answered()
                await stack.enter_async_context(attempt.pop_all())
                return answer
    told = next((problem for problem in problems if problem.is_rejection), problems[-1])
    settlement.response.limits = told.limits
    raise told.error


def _bounded(services: Services, key: Key, call: Call, model: ModelEntry, settlement: Settlement) -> Call:
    """Return the call with the bound that is reserved for it, where it has none of its own.

    Where no limit counts an answer's tokens it goes on as long as the model wants and its context allows.
    """
    most = services.settings.bounds.assumed_completion_tokens
    ends_by_itself = model.default_max_tokens is not None and model.default_max_tokens <= most
    if call.max_tokens is not None or ends_by_itself:
        return call
    asked = settlement.row.model_asked
    counts = services.access.counts_completions(key, model=model.name, asked=asked, price=model.price)
    return call.bounded(most) if counts else call


@contextlib.asynccontextmanager
async def _admitted(
    services: Services, key: Key, call: Call, model: ModelEntry, settlement: Settlement
) -> AsyncGenerator[None, None]:
    """Reserve what the model may use at most, and charge what it did use; raises ``Rejected``."""
    asked = settlement.row.model_asked
    bound = services.settings.bounds.assumed_completion_tokens if call.max_tokens is None else call.max_tokens
    estimate = Usage(await _prompt_tokens(services, key, asked, call, model), bound * call.choices)
    reservation = services.access.reserve(key, model=model.name, asked=asked, estimate=estimate, price=model.price)
    try:
        async with reservation:
            settlement.admitted(reservation)
            settlement.response.limits = reservation.headers
            try:
                yield
            except BaseException:
                settlement.broke_off()
                raise
            finally:
                settlement.charge(reservation)
    except Rejected:
        settlement.response.limits = reservation.headers
        raise


async def _prompt_tokens(services: Services, key: Key, asked: str, call: Call, model: ModelEntry) -> int:
    """Count the prompt where a limit does; for the ledger of a request that ends early, a rough figure will do."""
    if services.access.counts_prompts(key, model=model.name, asked=asked):
        return await services.prompts.estimate(model, call)
    return rough(call)


async def _ask(
    stack: contextlib.AsyncExitStack, services: Services, model: ModelEntry, call: Call, settlement: Settlement
) -> Answer:
    if not settlement.terms.is_batch:
        stack.enter_context(services.traffic.entered(model.name))
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
    asked = partial(settlement.asked, model, most_of(call, model, len(body)))
    asking = services.replicas.ask(model.application, call.path, headers, body, patience_s=patience_s, asked=asked)
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
    await begin_stream(response)
    # In a task of its own: here, every event would wake up each coroutine between Ray Serve and us.
    await asyncio.create_task(stream.relay(answer.read, response.chunk, keep_alive_s), name="relay")
    await response.end()


async def _relay_whole(answer: Answer, call: Call, settlement: Settlement) -> None:
    try:
        whole = call.form.whole(parsed(await _whole(answer)))
    except EngineLost:
        raise errors.engine_lost() from None
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
