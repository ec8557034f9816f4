"""Responses that run in the background of a gateway replica.

Any replica can show one, or cancel it: both go through the database, where the replica that runs it looks every
``WATCH_S``. A replica that ends fails what it runs; what a dead one has left, another fails.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Message

from auth.store import Store
from gateway.config.settings import ResponseSettings
from gateway.endpoints.responses.turn import Turn
from gateway.http import errors
from gateway.http.exchange import Exchange, Response
from gateway.responses.late_ends import LateEnds
from objects.response_runs import fail_orphans, move_on, still_running
from objects.response_sweep import sweep
from objects.responses import keep_response

WATCH_S = 0.5
"""How soon a cancellation is noticed."""

END_S = 5.0
"""How long a response's end waits for the database before it is kept on disk."""

ORPHANS_S = 5.0
SWEEP_S = 60.0

log = structlog.get_logger("raygate.responses")

Answering = Callable[[Response], Awaitable[None]]
"""Answers the request, as if to a client; raises ``ApiError``."""


class Background:
    """The responses that run in this gateway replica. Made by :func:`open_background`."""

    def __init__(self, store: Store, gateway: str, settings: ResponseSettings, late: LateEnds) -> None:
        self._late = late
        self._stored: set[str] = set()
        self._store = store
        self._gateway = gateway
        self._settings = settings
        self._running: dict[str, asyncio.Task[None]] = {}
        self._is_closing = False

    async def start(self, turn: Turn, answering: Answering, request_id: str) -> None:
        """Store a response, and let it run; it does so too when whoever asked for it leaves meanwhile.

        Raises:
            ApiError: 503, when as many run here as may.
            SQLAlchemyError, OSError: the database does not answer.
        """
        if len(self._running) >= self._settings.max_running:
            raise errors.overloaded("Too many responses run in the background. Please retry.")
        is_stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Its place is taken before anything is waited for: what arrives at once is counted as well.
        task = asyncio.create_task(self._begin(turn, answering, request_id, is_stored), name=turn.id)
        self._running[turn.id] = task
        task.add_done_callback(lambda _: self._forget(turn.id, is_stored))
        await asyncio.shield(is_stored)

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
                await self._late.store(self._store)
                await self._end_cancelled()
                if now >= orphans_at:
                    orphans_at = now + ORPHANS_S
                    await fail_orphans(self._store)
                if now >= sweep_at:
                    sweep_at = now + SWEEP_S
                    await sweep(self._store, most=self._settings.max_per_project)

    async def _end_cancelled(self) -> None:
        if ids := set(self._stored):
            for response_id in ids - await still_running(self._store, ids):
                self.stop(response_id)

    def _forget(self, response_id: str, is_stored: asyncio.Future[None]) -> None:
        self._running.pop(response_id, None)
        self._stored.discard(response_id)
        if not is_stored.done():
            is_stored.set_exception(errors.engine_lost())
        if not is_stored.cancelled():
            is_stored.exception()  # who asked may have left: nobody need look

    async def _begin(self, turn: Turn, answering: Answering, request_id: str, is_stored: asyncio.Future[None]) -> None:
        try:
            await keep_response(self._store, turn.stored(self._gateway))
        except Exception as error:
            is_stored.set_exception(error)
            return
        except asyncio.CancelledError:  # this replica ends: whether it is stored is not known
            self._late.keep(turn.id, turn.failed(errors.engine_lost()))
            raise
        self._stored.add(turn.id)
        is_stored.set_result(None)
        await self._run(turn, answering, request_id)

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
            async with asyncio.timeout(END_S):
                await move_on(self._store, turn.id, turn.body)
        except (SQLAlchemyError, OSError, asyncio.CancelledError) as error:
            log.warning("response waits for the database", response=turn.id, error=type(error).__name__)
            self._late.keep(turn.id, turn.body)


@contextlib.asynccontextmanager
async def open_background(
    store: Store, gateway: str, settings: ResponseSettings, home: Path
) -> AsyncGenerator[Background, None]:
    """Yield the background of a gateway replica.

    Args:
        store: where responses are.
        gateway: the replica's id, as the ledger knows it.
        settings: of responses.
        home: where ends are kept that the database cannot take.
    """
    background = Background(store, gateway, settings, LateEnds(home / "responses"))
    watching = asyncio.create_task(background.watch(), name="responses")
    try:
        yield background
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await background.close()


async def _nowhere(message: Message) -> None:
    del message
