"""What stops a batch, tightens its bounds or takes its key in the middle; it ends all the same, and is charged once."""

import asyncio
from dataclasses import replace

from sqlalchemy import select, update

from auth.keys import revoke_key
from gateway.batches.runner import batches_run
from objects.batch_tables import BatchRow
from objects.batches import cancel_batch
from objects.file_tables import FileRow
from tests.unit.gateway.batches.conftest import House, Opened, line
from tests.unit.gateway.batches.test_batch_runs import TWO_TOKENS, ledger_of


def stricter(house: House) -> House:
    """Return the house with a configuration that takes no conversation of two messages."""
    settings = house.services.settings
    bounds = settings.bounds.model_copy(update={"max_messages": 1})
    return replace(house, services=replace(house.services, settings=settings.model_copy(update={"bounds": bounds})))


async def test_a_batch_whose_configuration_became_stricter_fails_and_leaves_no_other_file(house: House) -> None:
    two = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    long = line("long")
    long["body"]["messages"] = two
    batch = await house.batch(line("short"), long)
    store = house.services.access.store
    async with store.writing() as connection:  # validated under the former configuration
        values = {"status": "in_progress", "in_progress_at": 1.0, "total": 2}
        await connection.execute(update(BatchRow).where(BatchRow.id == batch.id).values(values))

    async with batches_run(stricter(house).services, "gateway-1"):
        done = await house.until(batch, "failed")

    left = [result["custom_id"] for result in await house.lines_of(done.error_file_id)]
    assert "long" in left
    async with store.reading() as connection:
        unseen = await connection.execute(select(FileRow.id).where(FileRow.stored_at.is_(None)))
        assert unseen.all() == []


async def test_a_batch_that_is_finalizing_can_be_cancelled(house: House) -> None:
    batch = await house.batch(line("one"))
    store = house.services.access.store
    async with store.writing() as connection:
        values = {"status": "finalizing", "in_progress_at": 1.0, "finalizing_at": 1.0, "total": 1}
        await connection.execute(update(BatchRow).where(BatchRow.id == batch.id).values(values))

    assert (await cancel_batch(store, batch.project, batch.id)).status == "cancelling"

    async with batches_run(house.services, "gateway-1"):
        await house.until(batch, "cancelled")


async def test_a_batch_that_is_over_ends_though_its_input_is_gone(house: House) -> None:
    batch = await house.batch(line("one"))
    store = house.services.access.store
    async with store.writing() as connection:
        values = {"status": "finalizing", "in_progress_at": 1.0, "finalizing_at": 1.0, "expires_at": 2.0}
        await connection.execute(update(BatchRow).where(BatchRow.id == batch.id).values(values))
    await house.services.files.storage.remove(batch.input_file_id)

    async with batches_run(house.services, "gateway-1"):
        done = await house.until(batch, "expired")

    assert [mistake.code for mistake in done.errors] == ["storage_failed"]


async def test_blank_lines_count_as_lines(open_house: Opened) -> None:
    house: House = await open_house(max_lines=100)
    batch = await house.batch(line("one"), b"\n" * 5_000_000)
    async with batches_run(house.services, "gateway-1"):
        done = await house.until(batch, "failed")
    assert [mistake.code for mistake in done.errors] == ["too_many_lines"]


async def test_a_batch_that_is_cancelled_before_its_validation_runs_nothing(house: House) -> None:
    batch = await house.batch(b"{", line("one"))
    await cancel_batch(house.services.access.store, batch.project, batch.id)
    async with batches_run(house.services, "gateway-1"):
        done = await house.until(batch, "cancelled")
    assert [result["custom_id"] for result in await house.lines_of(done.error_file_id)] == [None, "one"]
    assert house.engine.asked == []


async def test_a_line_that_a_graceful_stop_broke_off_is_charged_for_the_run_that_answers(house: House) -> None:
    batch = await house.batch(line("one"))
    house.engine.may_answer.clear()
    async with batches_run(house.services, "gateway-1"):
        await house.engine.arrived.wait()
    house.engine.may_answer.set()

    async with batches_run(house.services, "gateway-1"):
        await house.until(batch, "completed")

    assert [(row.status, row.cost) for row in await ledger_of(house)] == [(200, TWO_TOKENS / 2)]


async def test_a_line_that_another_gateway_broke_off_is_charged_for_the_run_that_answers(house: House) -> None:
    twin = await house.twin("gateway-2")
    batch = await house.batch(line("one"))
    house.engine.may_answer.clear()
    async with batches_run(house.services, "gateway-1"):
        await house.engine.arrived.wait()
    assert [row.status for row in await ledger_of(house)] == [499]
    house.engine.may_answer.set()

    async with batches_run(twin.services, "gateway-2"):
        await house.until(batch, "completed")

    assert [(row.status, row.cost) for row in await ledger_of(twin)] == [(200, TWO_TOKENS / 2)]


async def test_a_line_that_runs_ends_within_a_second_of_its_keys_end(house: House) -> None:
    batch = await house.batch(line("one"))
    house.engine.may_answer.clear()
    async with batches_run(house.services, "gateway-1"):
        await house.engine.arrived.wait()
        await revoke_key(house.services.access.store, house.key.id)
        async with asyncio.timeout(1.5):
            while house.engine.running:
                await asyncio.sleep(0.01)
        await house.until(batch, "failed")
