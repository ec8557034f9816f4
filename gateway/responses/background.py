"""Responses that run in the background of a gateway replica.

Any replica can show one, or cancel it: both go through the database, where the replica that runs it looks every
``WATCH_S``. A replica that ends fails what it runs; what a dead one has left, another fails.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Message

from auth.store import Store
from gateway.config.settings import ResponseSettings
from gateway.endpoints.responses.turn import Turn
from gateway.http import errors
from gateway.http.exchange import Exchange, Response
from objects.response_runs import fail_orphans, move_on, still_running
from objects.response_sweep import sweep
from objects.responses import keep_response

WATCH_S = 0.5
"""How soon a cancellation is noticed."""

ORPHANS_S = 5.0
SWEEP_S = 60.0

log = structlog.get_logger("raygate.responses")

Answering = Callable[[Response], Awaitable[None]]
"""Answers the request, as if to a client; raises ``ApiError``."""


class Background:
    """The responses that run in this gateway replica. Made by :func:`open_background`."""

    def __init__(self, store: Store, gateway: str, settings: ResponseSettings) -> None:
        self._store = store
        self._gateway = gateway
        self._settings = settings
        self._running: dict[str, asyncio.Task[None]] = {}
        self._is_closing = False

    async def start(self, turn: Turn, answering: Answering, request_id: str) -> None:
        """Store a response, and let it run.

        Raises:
            ApiError: 503, when as many run here as may.
        """
        if len(self._running) >= self._settings.max_running:
            raise errors.overloaded("Too many responses run in the background. Please retry.")
        await keep_response(self._store, turn.stored(self._gateway))
        task = asyncio.create_task(self._run(turn, answering, request_id), name=turn.id)
        self._running[turn.id] = task
        task.add_done_callback(lambda _: self._running.pop(turn.id, None))

    def stop(self, response_id: str) -> None:
        """End a response that has been cancelled or deleted, if it runs here."""
        if task := self._running.get(response_id):
            task.cancel()

    async def close(self) -> None:
        """Fail what runs still."""
        self._is_closing = True
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def watch(self) -> None:
        """End what has been cancelled elsewhere, and tidy up, for as long as it is not cancelled itself."""
        orphans_at = sweep_at = 0.0
        while True:
            await asyncio.sleep(WATCH_S)
            now = time.monotonic()
            with contextlib.suppress(SQLAlchemyError, OSError):  # the database is away: later, then
                await self._end_cancelled()
                if now >= orphans_at:
                    orphans_at = now + ORPHANS_S
                    await fail_orphans(self._store)
                if now >= sweep_at:
                    sweep_at = now + SWEEP_S
                    await sweep(self._store, most=self._settings.max_per_project)

    async def _end_cancelled(self) -> None:
        if ids := set(self._running):
            for response_id in ids - await still_running(self._store, ids):
                self.stop(response_id)

    async def _run(self, turn: Turn, answering: Answering, request_id: str) -> None:
        response = Response(Exchange(request_id, False, None, time.monotonic()), _nowhere)
        try:
            if await move_on(self._store, turn.id, turn.began()):
                await answering(response)
        except errors.ApiError as error:
            turn.failed(error)
        except asyncio.CancelledError:
            if self._is_closing:
                turn.failed(errors.engine_lost())
            else:
                turn.left()
        except Exception as error:
            log.exception("response failed", request_id=request_id, error=type(error).__name__)
            turn.failed(errors.internal())
        finally:
            await self._end(turn, response)

    async def _end(self, turn: Turn, response: Response) -> None:
        exchange = response.exchange
        ms = round(exchange.elapsed_s() * 1000, 1)
        log.info(
            "background response",
            request_id=exchange.request_id,
            status=turn.body["status"],
            ms=ms,
            **response.facts,
        )
        try:
            await move_on(self._store, turn.id, turn.body)
        except (SQLAlchemyError, OSError) as error:
            log.warning("response not stored", response=turn.id, error=type(error).__name__)


@contextlib.asynccontextmanager
async def open_background(store: Store, gateway: str, settings: ResponseSettings) -> AsyncGenerator[Background, None]:
    """Yield the background of a gateway replica; ``gateway`` is the replica's id, as the ledger knows it."""
    background = Background(store, gateway, settings)
    watching = asyncio.create_task(background.watch(), name="responses")
    try:
        yield background
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await background.close()


async def _nowhere(message: Message) -> None:
    del message
