import asyncio
import time
from typing import Any

import pytest

from auth.audit import list_actions
from auth.errors import Conflict, InvalidValue, NameTaken, NotFound
from auth.key_changes import rotate_key, update_key
from auth.keys import create_key, list_keys, revoke_key
from auth.limits import Limit
from auth.snapshot import KeySnapshot
from auth.store import Store
from tests.unit.auth.test_snapshot import eventually, knows

LIMITS = (Limit("requests", "minute", 10), Limit("concurrency", None, 2))


async def test_a_change_reaches_a_snapshot_within_a_second(store: Store, snapshot: KeySnapshot) -> None:
    key, secret = await create_key(store, name="laptop")
    await snapshot.refresh()
    await update_key(store, key.id, limits=LIMITS, models=["a*"], name="desktop")
    await eventually(lambda: snapshot.identify(f"Bearer {secret}").limits == LIMITS)
    changed = snapshot.identify(f"Bearer {secret}")
    assert (changed.name, changed.models, changed.scopes, changed.version) == ("desktop", ("a*",), ("inference",), 2)


async def test_a_disabled_key_stops_and_can_be_enabled_again(store: Store, snapshot: KeySnapshot) -> None:
    _, secret = await create_key(store, name="laptop")
    await update_key(store, "laptop", disabled=True)
    await snapshot.refresh()
    assert not knows(snapshot, secret)
    await update_key(store, "laptop", disabled=False)
    await snapshot.refresh()
    assert knows(snapshot, secret)


async def test_an_expiry_can_be_taken_away(store: Store) -> None:
    await create_key(store, name="laptop", expires_at=time.time() + 60)
    assert (await update_key(store, "laptop", expires_at=None)).expires_at is None


async def test_of_two_admins_who_change_one_key_the_second_is_told(store: Store) -> None:
    key, _ = await create_key(store, name="laptop")
    results = await asyncio.gather(
        update_key(store, key.id, version=1, name="one"),
        update_key(store, key.id, version=1, name="two"),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in results) == ["Conflict", "Key"]


async def test_a_revoked_key_can_not_be_changed(store: Store) -> None:
    await create_key(store, name="laptop")
    key = await revoke_key(store, "laptop")
    with pytest.raises(InvalidValue):
        await update_key(store, key.id, disabled=False)
    with pytest.raises(InvalidValue):
        await rotate_key(store, key.id)


async def test_a_name_in_use_is_refused(store: Store) -> None:
    await create_key(store, name="one")
    await create_key(store, name="two")
    with pytest.raises(NameTaken):
        await update_key(store, "two", name="one")


async def test_a_missing_key_cannot_be_changed(store: Store) -> None:
    with pytest.raises(NotFound):
        await update_key(store, "nobody", disabled=True)


async def test_both_secrets_work_while_a_rotation_overlaps(store: Store, snapshot: KeySnapshot) -> None:
    key, old = await create_key(store, name="laptop")
    rotated, new = await rotate_key(store, "laptop", overlap_s=60)
    await snapshot.refresh()
    assert snapshot.identify(f"Bearer {old}").id == snapshot.identify(f"Bearer {new}").id == key.id
    assert rotated.hint == new[:8]
    assert len(await list_keys(store)) == 1


async def test_without_an_overlap_the_old_secret_stops_at_once(store: Store, snapshot: KeySnapshot) -> None:
    _, old = await create_key(store, name="laptop")
    await snapshot.refresh()
    _, new = await rotate_key(store, "laptop")
    await eventually(lambda: knows(snapshot, new))
    assert not knows(snapshot, old)


async def test_a_second_rotation_ends_an_overlap_that_still_lasts(store: Store, snapshot: KeySnapshot) -> None:
    _, first = await create_key(store, name="laptop")
    _, second = await rotate_key(store, "laptop", overlap_s=3600)
    await snapshot.refresh()
    _, third = await rotate_key(store, "laptop", overlap_s=0)
    await snapshot.refresh()
    assert [knows(snapshot, secret) for secret in (first, second, third)] == [False, False, True]


@pytest.mark.parametrize("overlap_s", [-1, float("nan"), float("inf"), 91 * 86_400])
async def test_an_absurd_overlap_is_refused(store: Store, overlap_s: float) -> None:
    await create_key(store, name="laptop")
    with pytest.raises(InvalidValue):
        await rotate_key(store, "laptop", overlap_s=overlap_s)


async def test_each_action_is_logged_with_before_and_after(store: Store) -> None:
    key, first = await create_key(store, name="laptop", actor="key_admin")
    await update_key(store, key.id, limits=LIMITS, actor="key_admin")
    _, second = await rotate_key(store, key.id, actor="key_admin")
    await revoke_key(store, key.id, actor="key_admin")

    actions = await list_actions(store, subject=key.id)

    assert [action.action for action in actions] == ["key.revoke", "key.rotate", "key.update", "key.create"]
    assert {action.actor for action in actions} == {"key_admin"}
    update: Any = actions[2]
    assert (update.before["limits"], len(update.after["limits"])) == ([], 2)
    assert actions[-1].before is None
    for secret in (first, second):
        assert secret not in repr(actions)
    assert "digest" not in repr(actions)


async def test_a_change_that_fails_is_not_logged(store: Store) -> None:
    key, _ = await create_key(store, name="laptop")
    with pytest.raises(Conflict):
        await update_key(store, key.id, version=7, name="other")
    assert [action.action for action in await list_actions(store)] == ["key.create"]


async def test_the_audit_log_is_read_in_pages(store: Store) -> None:
    for number in range(3):
        await create_key(store, name=f"key {number}")
    first = await list_actions(store, limit=2)
    rest = await list_actions(store, before_id=first[-1].id)
    assert [len(first), len(rest)] == [2, 1]
