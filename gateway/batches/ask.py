"""Asks a model for one line: through the same life as any request, with nobody at the other end of the wire."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.types import Message

from auth.keys import Key
from auth.usage import NOTHING, Usage
from gateway.batches.lines import Line
from gateway.endpoints.call import Call
from gateway.http.errors import ApiError
from gateway.http.exchange import Exchange, Response
from gateway.request.life import answer
from gateway.request.services import Services
from gateway.request.terms import Terms
from gateway.responses.begin import begin
from gateway.responses.respond import respond


@dataclass(frozen=True)
class Reply:
    """What came back.

    Attributes:
        status: the HTTP status that a client would have got.
        body: likewise.
        usage: what the ledger has noted.
        error: what went wrong, if anything did.
    """

    status: int
    body: bytes
    usage: Usage
    error: ApiError | None = None


async def ask(services: Services, key: Key, line: Line, request_id: str, ledger_id: str) -> Reply:
    """Return a model's reply to a line, on a batch's terms.

    Args:
        services: what requests pass through.
        key: whose limits and account it is.
        line: what is asked.
        request_id: as the engine and the ledger see it.
        ledger_id: the id of its row there.
    """
    body = bytearray()

    async def collect(message: Message) -> None:
        body.extend(message.get("body", b""))

    exchange = Exchange(request_id, echoed=False, client_request_id=None, started_at=time.monotonic())
    response = Response(exchange, collect)
    terms = Terms(is_batch=True, discount=services.settings.batches.discount, ledger_id=ledger_id)
    try:
        await _answer(services, key, line, response, terms)
    except ApiError as error:
        return Reply(error.status, error.body(), NOTHING, error)
    return Reply(response.status, bytes(body), _usage(response.facts))


def _usage(facts: Mapping[str, Any]) -> Usage:
    return Usage(facts["prompt_tokens"], facts["completion_tokens"], facts["cached_tokens"])


async def _answer(services: Services, key: Key, line: Line, response: Response, terms: Terms) -> None:
    settings = services.settings
    if line.call is None:
        turn, call = await begin(line.body, key, services.access.store, settings.responses, settings.bounds)
        await respond(services, key, turn, call, response, terms)
        return
    call = line.call

    async def read() -> Call:
        return call

    await answer(services, key, read, response, terms)
