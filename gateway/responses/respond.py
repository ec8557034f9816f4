"""Answers with a response to somebody who waits, and stores it before its end leaves."""

import asyncio
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Message, Send

from auth.access import Access
from auth.keys import Key
from gateway.endpoints.call import Call
from gateway.endpoints.responses.form import StreamErrors
from gateway.endpoints.responses.turn import Turn
from gateway.http import errors
from gateway.http.exchange import Response
from gateway.request.life import answer
from gateway.request.services import Services
from gateway.request.terms import INTERACTIVE, Terms
from objects.responses import keep_response

KEEP_S = 5.0
"""How long the end of a response may wait for the database."""

log: Any = structlog.get_logger("raygate.responses")


async def respond(
    services: Services, key: Key, turn: Turn, call: Call, response: Response, terms: Terms = INTERACTIVE
) -> None:
    """Answer one request.

    Raises:
        ApiError: whatever the client is to be told.
    """
    access = services.access
    response.dialect = StreamErrors(turn)
    response.send = _kept_first(access, turn, response.send)

    async def read() -> Call:
        return call

    try:
        await answer(services, key, read, response, terms)
    except errors.ApiError as error:
        turn.failed(error)
        raise
    except Exception:
        turn.failed(errors.internal())
        raise
    except BaseException:  # the client has left
        turn.left()
        raise
    finally:
        if turn.events:  # the client has seen its id
            await _keep(access, turn)


async def _keep(access: Access, turn: Turn) -> None:
    """Store a response that has ended, once. A database that is away costs the memory of it, not the answer."""
    if turn.is_kept or not turn.body["store"]:
        return
    try:
        async with asyncio.timeout(0 if access.ledger.degraded else KEEP_S):
            await keep_response(access.store, turn.stored())
    except (SQLAlchemyError, OSError) as error:
        log.warning("response not stored", response=turn.id, error=type(error).__name__)
    turn.is_kept = True


def _kept_first(access: Access, turn: Turn, send: Send) -> Send:
    """Return ``send`` with a memory: who has got the end of a response can continue it at once."""

    async def send_kept(message: Message) -> None:
        if turn.has_ended:
            await _keep(access, turn)
        await send(message)

    return send_kept
