import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from auth.errors import Unauthenticated
from auth.keys import create_key, revoke_key
from auth.snapshot import KeySnapshot
from auth.store import Store, sqlite_url
from auth.tables import KeyRow, Revision, SecretRow


async def eventually(condition: Callable[[], bool], within_s: float = 1.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


def knows(snapshot: KeySnapshot, secret: str) -> bool:
    try:
        snapshot.identify(f"Bearer {secret}")
    except Unauthenticated:
        return False
    return True


async def test_a_key_made_before_is_known(store: Store) -> None:
    key, secret = await create_key(store, name="laptop", models=["a*"])
    snapshot = await KeySnapshot.open(store)
    assert snapshot.identify(f"Bearer {secret}") == key
    await snapshot.close()


async def test_a_key_made_later_is_known_within_a_second(store: Store, snapshot: KeySnapshot) -> None:
    _, secret = await create_key(store, name="laptop")
    await eventually(lambda: knows(snapshot, secret))


async def test_a_revoked_key_stops_working_within_a_second(store: Store, snapshot: KeySnapshot) -> None:
    _, secret = await create_key(store, name="laptop")
    await snapshot.refresh()
    key = snapshot.identify(f"Bearer {secret}")
    await revoke_key(store, "laptop")
    await eventually(lambda: not knows(snapshot, secret))
    assert snapshot.current(key) is None


async def test_an_expired_key_stops_working_at_once(store: Store, snapshot: KeySnapshot) -> None:
    _, secret = await create_key(store, name="laptop", expires_at=time.time() + 0.2)
    await snapshot.refresh()
    assert knows(snapshot, secret)
    await asyncio.sleep(0.2)
    assert not knows(snapshot, secret)


async def test_the_header_may_be_bytes_and_the_scheme_of_any_case(store: Store, snapshot: KeySnapshot) -> None:
    key, secret = await create_key(store, name="laptop")
    await snapshot.refresh()
    assert snapshot.identify(f"bearer {secret}".encode()) == key
    assert snapshot.identify(f"BEARER  {secret} ") == key


async def test_no_header_is_told_apart_from_a_wrong_one(snapshot: KeySnapshot) -> None:
    with pytest.raises(Unauthenticated) as error:
        snapshot.identify(None)
    assert error.value.missing


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer sk-",
        "Bearer sk-unknown-unknown-unknown",
        "Basic sk-unknown-unknown-unknown",
        "sk-unknown-unknown-unknown",
        "Bearer sk-ключ-ключ-ключ",
        b"Bearer sk-\xff\xfe\xfd",
        "Bearer sk-" + "x" * 10_000_000,
        "Bearer sk-a, Bearer sk-b",
        "Bearer\tsk-tab",
        "Bearer sk-nul\x00byte",
    ],
)
async def test_forged_headers_all_look_the_same(snapshot: KeySnapshot, header: str | bytes) -> None:
    with pytest.raises(Unauthenticated) as error:
        snapshot.identify(header)
    assert not error.value.missing
    assert str(error.value) == "invalid API key"


async def test_half_a_digest_is_not_enough(store: Store, snapshot: KeySnapshot) -> None:
    key, _ = await create_key(store, name="laptop")
    await snapshot.refresh()
    assert snapshot._records.get(key.digest) is not None
    assert snapshot._records.get(key.digest[:16] + bytes(16)) is None


async def test_a_database_restored_from_an_older_copy_is_loaded_anew(store: Store, snapshot: KeySnapshot) -> None:
    _, secret = await create_key(store, name="laptop")
    await snapshot.refresh()
    async with store.writing() as connection:
        await connection.execute(delete(SecretRow))
        await connection.execute(delete(KeyRow))
        await connection.execute(update(Revision).values(value=1))
    await eventually(lambda: not knows(snapshot, secret))


async def test_known_keys_are_served_while_the_database_is_away(tmp_path: Path) -> None:
    store = Store(sqlite_url(tmp_path))
    await store.migrate()
    _, secret = await create_key(store, name="laptop")
    snapshot = await KeySnapshot.open(store)
    await store.close()
    (tmp_path / "raygate.db").rename(tmp_path / "away.db")
    await eventually(lambda: snapshot.degraded is not None, within_s=3)
    assert knows(snapshot, secret)
    (tmp_path / "away.db").replace(tmp_path / "raygate.db")
    await store.close()
    await eventually(lambda: snapshot.degraded is None, within_s=3)
    assert knows(snapshot, secret)
    await snapshot.close()
    await store.close()
