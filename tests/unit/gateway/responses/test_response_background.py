"""Responses in the background of a gateway replica: their ends, good and bad, are in the database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.keys import Key
from auth.store import Store
from gateway.config.settings import ResponseSettings
from gateway.endpoints.responses.items import listed
from gateway.endpoints.responses.turn import Turn, begun
from gateway.http import errors
from gateway.http.exchange import Response
from gateway.responses.background import Background, open_background
from objects.response_runs import cancel, fail_orphans
from objects.response_tables import ResponseRow
from objects.responses import StoredResponse, delete_response, read_response

KEY = Key("key_1", "k", "p1", "sk-", b"", (), ("*",), (), 0.0)
SETTINGS = ResponseSettings(max_running=2)


def turn() -> Turn:
    return Turn(begun({"model": "m", "input": "Hi", "background": True}), KEY, listed("Hi"), keep_s=60)


async def ended(store: Store, made: Turn) -> StoredResponse:
    async with asyncio.timeout(5):
        while (found := await read_response(store, "p1", made.id)).status in ("queued", "in_progress"):
            await asyncio.sleep(0.01)
    return found


class Answering:
    """Stands for the request's way: begins, and goes on until it is let go or cancelled."""

    def __init__(self, made: Turn) -> None:
        self._made = made
        self.begun = asyncio.Event()
        self.let_go = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, response: Response) -> None:
        del response
        self.begun.set()
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        self._made.told({"status": "completed", "output": []})


async def begun_run(background: Background) -> tuple[Turn, Answering]:
    made = turn()
    answering = Answering(made)
    await background.start(made, answering, "req_1")
    async with asyncio.timeout(5):
        await answering.begun.wait()
    return made, answering


async def test_a_run_is_in_progress_until_it_is_completed(store: Store, tmp_path: Path) -> None:
    async with open_background(store, "gateway-1", SETTINGS, tmp_path) as background:
        made, answering = await begun_run(background)
        assert (await read_response(store, "p1", made.id)).status == "in_progress"

        answering.let_go.set()

        assert (await ended(store, made)).status == "completed"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.engine_lost(), "server_error"),
        (errors.model_not_found(), "invalid_prompt"),
        (KeyError(), "server_error"),
    ],
)
async def test_a_run_that_breaks_has_failed(store: Store, tmp_path: Path, error: Exception, code: str) -> None:
    async def broken(response: Response) -> None:
        del response
        raise error

    async with open_background(store, "gateway-1", SETTINGS, tmp_path) as background:
        made = turn()
        await background.start(made, broken, "req_1")
        found = await ended(store, made)

    assert (found.status, found.body["error"]["code"]) == ("failed", code)


async def test_a_run_that_another_replica_cancels_is_ended(store: Store, tmp_path: Path) -> None:
    async with open_background(store, "gateway-1", SETTINGS, tmp_path) as background:
        made, answering = await begun_run(background)

        await cancel(store, "p1", made.id)

        async with asyncio.timeout(5):
            await answering.cancelled.wait()
        assert (await ended(store, made)).status == "cancelled"


async def test_a_run_that_is_deleted_is_ended(store: Store, tmp_path: Path) -> None:
    async with open_background(store, "gateway-1", SETTINGS, tmp_path) as background:
        made, answering = await begun_run(background)

        await delete_response(store, "p1", made.id)

        async with asyncio.timeout(5):
            await answering.cancelled.wait()


async def test_a_replica_that_ends_fails_what_it_runs(store: Store, tmp_path: Path) -> None:
    async with open_background(store, "gateway-1", SETTINGS, tmp_path) as background:
        made, answering = await begun_run(background)

    assert answering.cancelled.is_set()
    found = await read_response(store, "p1", made.id)
    assert (found.status, found.gateway) == ("failed", None)


async def test_a_replica_takes_no_more_than_it_may(store: Store, tmp_path: Path) -> None:
    async with open_background(store, "gateway-1", SETTINGS, tmp_path) as background:
        await begun_run(background)
        await begun_run(background)

        with pytest.raises(errors.ApiError) as refused:
            await begun_run(background)
        assert refused.value.status == 503


async def test_what_arrives_at_once_is_counted_as_well(store: Store, tmp_path: Path) -> None:
    async with open_background(store, "gateway-1", SETTINGS, tmp_path) as background:
        made = [turn() for _ in range(20)]
        starts = [background.start(each, Answering(each), "req_1") for each in made]
        results = await asyncio.gather(*starts, return_exceptions=True)

    assert [result for result in results if result is None] == [None, None]


async def test_a_client_that_leaves_while_its_response_is_stored_leaves_it_running(
    store: Store, tmp_path: Path
) -> None:
    async with open_background(store, "gateway-1", SETTINGS, tmp_path) as background:
        made = turn()
        answering = Answering(made)
        asking = asyncio.create_task(background.start(made, answering, "req_1"))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        answering.let_go.set()
        async with asyncio.timeout(5):
            await answering.begun.wait()

        assert (await ended(store, made)).status == "completed"


class Outage(Store):
    """The database, and a switch that takes it away."""

    away = False

    def writing(self) -> AbstractAsyncContextManager[AsyncConnection]:
        if self.away:
            raise OSError("the database is away")
        return super().writing()


@pytest.fixture
async def outage(database_url: str, store: Store) -> AsyncIterator[Outage]:
    """A store that can be away; the schema is there."""
    made = Outage(database_url)
    yield made
    await made.close()


async def test_an_end_that_comes_while_the_database_is_away_is_stored_when_it_is_back(
    outage: Outage, tmp_path: Path
) -> None:
    async with open_background(outage, "gateway-1", SETTINGS, tmp_path) as background:
        made, answering = await begun_run(background)
        outage.away = True
        answering.let_go.set()
        async with asyncio.timeout(5):
            while not (kept := list((tmp_path / "responses").glob("*.json"))):
                await asyncio.sleep(0.01)
        assert kept[0].stat().st_mode & 0o777 == 0o600
        outage.away = False

        assert (await ended(outage, made)).status == "completed"


async def test_an_end_that_was_kept_outlives_its_gateway_and_whoever_took_it_for_lost(
    outage: Outage, tmp_path: Path
) -> None:
    async with open_background(outage, "gateway-1", SETTINGS, tmp_path) as background:
        made, answering = await begun_run(background)
        outage.away = True
        answering.let_go.set()
    outage.away = False
    async with outage.writing() as connection:
        await connection.execute(update(ResponseRow).values(created_at=0.0))
    await fail_orphans(outage)
    assert (await read_response(outage, "p1", made.id)).status == "failed"

    async with open_background(outage, "gateway-2", SETTINGS, tmp_path):
        async with asyncio.timeout(5):
            while list((tmp_path / "responses").glob("*.json")):
                await asyncio.sleep(0.01)

    assert (await read_response(outage, "p1", made.id)).status == "completed"
