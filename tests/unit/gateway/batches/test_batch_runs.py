"""The life of batches in one gateway replica and in two."""

import asyncio
from typing import Any

import orjson
from sqlalchemy import delete, select, update

from auth.key_changes import update_key
from auth.keys import revoke_key
from auth.ledger_tables import GatewayRow, RequestRow
from auth.limits import parse_limits
from gateway.batches.runner import batches_run
from objects.batch_tables import BatchLineRow, BatchRow
from objects.batches import Batch, cancel_batch
from tests.unit.gateway.batches.conftest import House, Opened, line

TWO_TOKENS = 1 * 1 + 2 * 2
"""What a line costs at full price: a prompt of one word, an answer of two."""


async def ledger_of(house: House) -> list[Any]:
    """Return the ledger's rows."""
    await house.services.access.ledger.flush_all()
    async with house.services.access.store.reading() as connection:
        rows = await connection.execute(select(RequestRow.__table__).order_by(RequestRow.request_id))
        return list(rows)


async def expire(house: House, batch: Batch) -> None:
    async with house.services.access.store.writing() as connection:
        await connection.execute(update(BatchRow).where(BatchRow.id == batch.id).values(expires_at=1.0))


async def bury(house: House, gateway: str) -> None:
    """Do what the ledger's watch does when a replica's heart has stopped."""
    async with house.services.access.store.writing() as connection:
        await connection.execute(delete(GatewayRow).where(GatewayRow.id == gateway))


async def test_every_line_has_its_result_once_and_in_order(house: House) -> None:
    batch = await house.batch(*[line(f"line-{number}") for number in range(40)])
    async with batches_run(house.services, "gateway-1"):
        done = await house.until(batch, "completed")
    assert (done.total, done.completed, done.failed, done.model) == (40, 40, 0, "echo")
    assert (done.prompt_tokens, done.completion_tokens) == (40, 80)
    results = await house.lines_of(done.output_file_id)
    assert [result["custom_id"] for result in results] == [f"line-{number}" for number in range(40)]
    assert results[3]["response"]["status_code"] == 200
    assert results[3]["response"]["body"]["choices"][0]["message"]["content"] == "line-3 line-3"
    assert results[3]["error"] is None
    assert done.error_file_id is None


async def test_each_line_is_charged_once_at_the_discount(house: House) -> None:
    batch = await house.batch(line("one"), line("two"))
    async with batches_run(house.services, "gateway-1"):
        await house.until(batch, "completed")
    rows = await ledger_of(house)
    assert [row.request_id for row in rows] == [f"{batch.id}_1", f"{batch.id}_2"]
    assert {(row.key_id, row.cost) for row in rows} == {(house.key.id, TWO_TOKENS / 2)}


async def test_lines_are_kept_no_longer_than_their_batch_runs(house: House) -> None:
    batch = await house.batch(line("one"))
    async with batches_run(house.services, "gateway-1"):
        await house.until(batch, "completed")
    async with house.services.access.store.reading() as connection:
        assert (await connection.execute(select(BatchLineRow.number))).all() == []


async def test_a_line_that_is_not_right_fails_the_batch_before_anything_runs(house: House) -> None:
    batch = await house.batch(line("one"), line("two", model="other"), b"{", line("one"))
    async with batches_run(house.services, "gateway-1"):
        failed = await house.until(batch, "failed")
    assert [(mistake.line, mistake.code, mistake.param) for mistake in failed.errors] == [
        (2, "model_not_found", "body.model"),
        (3, "invalid_json", None),
        (4, "duplicate_custom_id", "custom_id"),
    ]
    assert house.engine.asked == []


async def test_a_byte_order_mark_before_the_first_line_is_passed_over(house: House) -> None:
    batch = await house.batch(b"\xef\xbb\xbf" + orjson.dumps(line("one")), line("two"))
    async with batches_run(house.services, "gateway-1"):
        done = await house.until(batch, "completed", "failed")
    assert (done.status, done.completed) == ("completed", 2)


async def test_an_empty_file_is_no_batch(house: House) -> None:
    batch = await house.batch()
    async with batches_run(house.services, "gateway-1"):
        assert (await house.until(batch, "failed")).errors[0].code == "empty_file"


async def test_a_cancelled_batch_ends_what_it_has_begun_and_keeps_what_it_has(open_house: Opened) -> None:
    house: House = await open_house(concurrency=1)
    batch = await house.batch(*[line(f"line-{number}") for number in range(3)])
    house.engine.may_answer.clear()
    async with batches_run(house.services, "gateway-1"):
        await house.engine.arrived.wait()
        asked = await cancel_batch(house.services.access.store, batch.project, batch.id)
        await asyncio.sleep(0.7)  # the runner looks every half second
        house.engine.may_answer.set()
        done = await house.until(batch, "cancelled")
    assert asked.status == "cancelling"
    assert [result["custom_id"] for result in await house.lines_of(done.output_file_id)] == ["line-0"]
    errors = await house.lines_of(done.error_file_id)
    assert [(error["custom_id"], error["response"], error["error"]["code"]) for error in errors] == [
        ("line-1", None, "batch_cancelled"),
        ("line-2", None, "batch_cancelled"),
    ]


async def test_a_batch_whose_time_is_over_ends_with_what_is_done(house: House) -> None:
    batch = await house.batch(line("late"))
    await expire(house, batch)
    async with batches_run(house.services, "gateway-1"):
        done = await house.until(batch, "expired")
    assert [error["error"]["code"] for error in await house.lines_of(done.error_file_id)] == ["batch_expired"]
    assert house.engine.asked == []


async def test_a_revoked_key_stops_its_batch(open_house: Opened) -> None:
    house: House = await open_house(concurrency=1)
    batch = await house.batch(*[line(f"line-{number}") for number in range(3)])
    house.engine.may_answer.clear()
    async with batches_run(house.services, "gateway-1"):
        await house.engine.arrived.wait()
        await revoke_key(house.services.access.store, house.key.id)
        done = await house.until(batch, "failed")
    assert [mistake.code for mistake in done.errors] == ["invalid_api_key"]
    assert len(await house.lines_of(done.error_file_id)) == 3


async def test_a_batch_that_waits_for_its_turn_ends_with_its_key(open_house: Opened) -> None:
    house: House = await open_house(quiet_s=60, busy_share=0)
    with house.services.traffic.entered("echo"):
        batch = await house.batch(line("one"))
        async with batches_run(house.services, "gateway-1"):
            await house.until(batch, "in_progress")
            await revoke_key(house.services.access.store, house.key.id)
            done = await house.until(batch, "failed")
    assert [mistake.code for mistake in done.errors] == ["invalid_api_key"]
    assert house.engine.asked == []


async def test_a_key_that_may_ask_no_models_any_more_stops_its_batch(house: House) -> None:
    batch = await house.batch(line("one"))
    await update_key(house.services.access.store, house.key.id, scopes=["read-usage"])
    await house.services.access.keys.refresh()
    async with batches_run(house.services, "gateway-1"):
        done = await house.until(batch, "failed")
    assert [mistake.code for mistake in done.errors] == ["invalid_api_key"]
    assert house.engine.asked == []


async def test_an_exhausted_budget_fails_lines_with_its_code(house: House) -> None:
    limits = parse_limits([{"of": "cost", "per": "day", "amount": 0}])
    await update_key(house.services.access.store, house.key.id, limits=limits)
    await house.services.access.keys.refresh()
    batch = await house.batch(line("one"))
    async with batches_run(house.services, "gateway-1"):
        done = await house.until(batch, "completed")
    (error,) = await house.lines_of(done.error_file_id)
    assert (done.completed, done.failed) == (0, 1)
    assert error["response"]["status_code"] == 429
    assert error["response"]["body"]["error"]["code"] == "insufficient_quota"


async def test_a_limit_that_frees_makes_the_batch_wait(house: House) -> None:
    limits = parse_limits([{"of": "concurrency", "amount": 1}])
    await update_key(house.services.access.store, house.key.id, limits=limits)
    await house.services.access.keys.refresh()
    batch = await house.batch(*[line(f"line-{number}") for number in range(6)])
    async with batches_run(house.services, "gateway-1"):
        done = await house.until(batch, "completed")
    assert (done.completed, done.failed) == (6, 0)
    paid = [row.request_id for row in await ledger_of(house) if row.cost]
    assert sorted(paid) == [f"{batch.id}_{number}" for number in range(1, 7)]


async def test_only_one_replica_runs_batches(house: House) -> None:
    twin = await house.twin("gateway-2")
    batch = await house.batch(*[line(f"line-{number}") for number in range(20)])
    async with batches_run(house.services, "gateway-1"), batches_run(twin.services, "gateway-2"):
        await house.until(batch, "completed")
    assert sorted(house.engine.asked) == sorted(f"{batch.id}_{number}" for number in range(1, 21))


async def test_another_replica_takes_over_and_the_one_thought_dead_cannot_write(house: House) -> None:
    twin = await house.twin("gateway-2")
    batch = await house.batch(line("one"))
    house.engine.may_answer.clear()
    async with batches_run(house.services, "gateway-1"):
        await house.engine.arrived.wait()
        await bury(house, "gateway-1")
        async with batches_run(twin.services, "gateway-2"):
            async with asyncio.timeout(10):
                while len(house.engine.asked) < 2:
                    await asyncio.sleep(0.02)
            house.engine.may_answer.set()  # both have their answer now
            done = await house.until(batch, "completed")
    assert (done.completed, done.failed) == (1, 0)
    assert len(await house.lines_of(done.output_file_id)) == 1
    rows = await ledger_of(twin)
    assert [(row.request_id, row.cost) for row in rows if row.cost] == [(f"{batch.id}_1", TWO_TOKENS / 2)]


async def test_a_batch_goes_on_after_the_end_of_its_replica(open_house: Opened) -> None:
    house: House = await open_house(concurrency=2)
    batch = await house.batch(*[line(f"line-{number}") for number in range(12)])
    async with batches_run(house.services, "gateway-1"):
        async with asyncio.timeout(10):
            while (await house.again(batch)).completed < 3:
                await asyncio.sleep(0.01)
    async with batches_run(house.services, "gateway-1"):
        done = await house.until(batch, "completed")
    assert done.completed == 12
    assert len(await house.lines_of(done.output_file_id)) == 12
    paid = [row.request_id for row in await ledger_of(house) if row.cost]
    assert sorted(paid) == sorted(f"{batch.id}_{number}" for number in range(1, 13))


async def test_lines_make_way_and_run_again_at_no_further_cost(open_house: Opened) -> None:
    house: House = await open_house(quiet_s=0.5, concurrency=4)
    batch = await house.batch(*[line(f"line-{number}") for number in range(8)])
    async with batches_run(house.services, "gateway-1"):
        async with asyncio.timeout(10):
            while house.engine.most_at_once < 3:
                await asyncio.sleep(0.001)
        house.engine.may_answer.clear()
        with house.services.traffic.entered("echo"):
            async with asyncio.timeout(10):
                while house.engine.running > 1:
                    await asyncio.sleep(0.001)
        house.engine.may_answer.set()
        done = await house.until(batch, "completed")
    assert done.completed == 8
    paid = [row.request_id for row in await ledger_of(house) if row.cost]
    assert sorted(paid) == [f"{batch.id}_{number}" for number in range(1, 9)]
