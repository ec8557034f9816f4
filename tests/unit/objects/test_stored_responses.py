"""Responses in the database: owned by projects, chained, swept, and run by one gateway replica at a time."""

import time
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert

from auth.ledger_tables import GatewayRow
from auth.store import Store
from objects.errors import NoSuchObject, NotInBackground
from objects.ids import new_id
from objects.response_runs import cancel, fail_orphans, move_on, still_running
from objects.response_sweep import sweep
from objects.responses import StoredResponse, delete_response, keep_response, read_conversation, read_response


def response(previous: StoredResponse | None = None, **fields: Any) -> StoredResponse:
    status = fields.pop("status", "completed")
    background = status in ("queued", "in_progress")
    response_id = new_id("resp_")
    made = StoredResponse(
        id=response_id,
        project="default",
        key="key_1",
        created_at=time.time(),
        expires_at=time.time() + 60,
        status=status,
        body={"id": response_id, "status": status, "background": background},
        input=[{"id": "msg_1", "role": "user", "content": "Grüße"}],
        previous_id=previous.id if previous else None,
        turns=previous.turns + 1 if previous else 1,
    )
    return replace(made, **fields)


async def kept(store: Store, *args: Any, **fields: Any) -> StoredResponse:
    made = response(*args, **fields)
    await keep_response(store, made)
    return made


async def is_there(store: Store, made: StoredResponse) -> bool:
    try:
        await read_response(store, made.project, made.id)
    except NoSuchObject:
        return False
    return True


async def test_a_response_is_read_as_it_was_stored(store: Store) -> None:
    made = await kept(store)

    assert await read_response(store, "default", made.id) == made


async def test_a_response_is_its_projects_alone(store: Store) -> None:
    made = await kept(store)

    for attempt in (read_response, read_conversation, delete_response, cancel):
        with pytest.raises(NoSuchObject):
            await attempt(store, "another", made.id)
    assert await is_there(store, made)


async def test_a_conversation_is_read_from_its_first_turn(store: Store) -> None:
    first = await kept(store)
    second = await kept(store, first)
    third = await kept(store, second)
    await kept(store, second)

    assert [turn.id for turn in await read_conversation(store, "default", third.id)] == [first.id, second.id, third.id]


async def test_a_conversation_through_a_deleted_response_cannot_be_continued(store: Store) -> None:
    first = await kept(store)
    second = await kept(store, first)

    await delete_response(store, "default", first.id)

    assert await is_there(store, second)
    with pytest.raises(NoSuchObject):
        await read_conversation(store, "default", second.id)


async def test_an_expired_response_is_gone_unless_another_continues_it(store: Store) -> None:
    past = time.time() - 1
    alone = await kept(store, expires_at=past)
    first = await kept(store, expires_at=past)
    second = await kept(store, first)

    await sweep(store, most=100)

    assert not await is_there(store, alone)
    assert not await is_there(store, first)
    assert [turn.id for turn in await read_conversation(store, "default", second.id)] == [first.id, second.id]


async def test_an_expired_conversation_goes_as_a_whole(store: Store) -> None:
    past = time.time() - 1
    first = await kept(store, expires_at=past)
    await kept(store, first, expires_at=past)

    await sweep(store, most=100)
    await keep_response(store, replace(first, expires_at=time.time() + 60))  # its id is free again

    assert await is_there(store, first)


async def test_a_project_keeps_its_newest_responses(store: Store) -> None:
    made = [await kept(store) for _ in range(5)]
    other = await kept(store, project="another")

    await sweep(store, most=3)

    assert [await is_there(store, one) for one in made] == [False, False, True, True, True]
    assert await is_there(store, other)


async def test_a_run_moves_on_until_it_has_ended(store: Store) -> None:
    made = await kept(store, status="queued", gateway="gateway-1")

    assert await move_on(store, made.id, {**made.body, "status": "in_progress"})
    assert await move_on(store, made.id, {**made.body, "status": "completed", "output": ["Hi"]})
    assert not await move_on(store, made.id, {**made.body, "status": "failed"})

    found = await read_response(store, "default", made.id)
    assert (found.status, found.body["output"], found.gateway) == ("completed", ["Hi"], None)


async def test_a_cancelled_run_stays_cancelled(store: Store) -> None:
    made = await kept(store, status="in_progress", gateway="gateway-1")
    other = await kept(store, status="in_progress", gateway="gateway-1")

    cancelled = await cancel(store, "default", made.id)

    assert (cancelled.status, cancelled.body["status"]) == ("cancelled", "cancelled")
    assert await still_running(store, {made.id, other.id}) == {other.id}
    assert not await move_on(store, made.id, {**made.body, "status": "completed"})
    assert (await cancel(store, "default", made.id)).status == "cancelled"


async def test_only_a_run_in_the_background_can_be_cancelled(store: Store) -> None:
    made = await kept(store)

    with pytest.raises(NotInBackground):
        await cancel(store, "default", made.id)


async def test_what_a_dead_gateway_was_running_fails(store: Store) -> None:
    async with store.writing() as connection:
        await connection.execute(insert(GatewayRow).values(id="alive", beat=1))
    long_ago = time.time() - 60
    orphan = await kept(store, status="in_progress", gateway="dead", created_at=long_ago)
    others = [
        await kept(store, status="in_progress", gateway="alive", created_at=long_ago),
        await kept(store, status="queued", gateway="starting"),
    ]

    await fail_orphans(store)

    found = await read_response(store, "default", orphan.id)
    assert (found.status, found.body["error"]["code"], found.gateway) == ("failed", "server_error", None)
    assert [(await read_response(store, "default", other.id)).status for other in others] == ["in_progress", "queued"]
