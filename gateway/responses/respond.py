"""Answers with a response to somebody who waits, and stores it before its end leaves."""

from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Message, Send

from auth.keys import Key
from auth.store import Store
from gateway import errors
from gateway.call import Call
from gateway.exchange import Response
from gateway.request import answer
from gateway.responses.form import StreamErrors
from gateway.responses.turn import Turn
from gateway.services import Services
from objects.responses import keep_response

log: Any = structlog.get_logger("raygate.responses")


async def respond(services: Services, key: Key, turn: Turn, call: Call, response: Response) -> None:
    """Answer one request.

    Raises:
        ApiError: whatever the client is to be told.
    """
    store = services.access.store
    response.dialect = StreamErrors(turn)
    response.send = _kept_first(store, turn, response.send)

    async def read() -> Call:
        return call

    try:
        await answer(services, key, read, response)
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
            await keep(store, turn)


async def keep(store: Store, turn: Turn) -> None:
    """Store a response that has ended, once. A database that is away costs the memory of it, not the answer."""
    if turn.is_kept or not turn.body["store"]:
        return
    try:
        await keep_response(store, turn.stored())
    except (SQLAlchemyError, OSError) as error:
        log.warning("response not stored", response=turn.id, error=type(error).__name__)
    turn.is_kept = True


def _kept_first(store: Store, turn: Turn, send: Send) -> Send:
    """Return ``send`` with a memory: who has got the end of a response can continue it at once."""

    async def send_kept(message: Message) -> None:
        if turn.has_ended:
            await keep(store, turn)
        await send(message)

    return send_kept
