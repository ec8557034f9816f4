"""Changes to keys: their fields, and their secrets."""

import time
from collections.abc import Iterable

import orjson
from sqlalchemy import insert, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from auth import audit
from auth.changes import UNCHANGED, Unchanged, expect_one, given, next_revision, touch_key
from auth.checks import check_expiry, check_models, check_name, check_overlap, check_scopes
from auth.errors import InvalidValue, NameTaken
from auth.keys import Key, digest, find_key, generate_secret, hint, public
from auth.limits import Limit, dump_limits
from auth.store import Store
from auth.tables import KeyRow, SecretRow


async def update_key(
    store: Store,
    id_or_name: str,
    *,
    version: int | None = None,
    name: str | Unchanged = UNCHANGED,
    scopes: Iterable[str] | Unchanged = UNCHANGED,
    models: Iterable[str] | Unchanged = UNCHANGED,
    limits: Iterable[Limit] | Unchanged = UNCHANGED,
    expires_at: float | Unchanged | None = UNCHANGED,
    disabled: bool | Unchanged = UNCHANGED,
    actor: str = "cli",
) -> Key:
    """Change what is given; return the key as it is then.

    Args:
        store: the database.
        id_or_name: which key.
        version: the version that the change was decided on; ``None`` changes whatever is there.
        name, scopes, models, limits, expires_at, disabled: see ``Key``.
        actor: who asks, for the audit log.

    Raises:
        NotFound: there is no such key.
        InvalidValue: a field cannot be stored, or the key is revoked.
        NameTaken: the project has a key of that name.
        Conflict: somebody else has changed it since ``version``.
    """
    now = time.time()
    values = given(
        name=name if isinstance(name, Unchanged) else check_name(name),
        scopes=scopes if isinstance(scopes, Unchanged) else _json(check_scopes(scopes)),
        models=models if isinstance(models, Unchanged) else _json(check_models(models)),
        limits=limits if isinstance(limits, Unchanged) else dump_limits(limits),
        expires_at=expires_at if isinstance(expires_at, Unchanged) else check_expiry(expires_at, now=now),
        disabled_at=disabled if isinstance(disabled, Unchanged) else (now if disabled else None),
    )
    try:
        async with store.writing() as connection:
            revision = await next_revision(connection)
            before = await _live_key(connection, id_or_name)
            found = (KeyRow.id == before.id) & (KeyRow.version == (before.version if version is None else version))
            change = update(KeyRow).where(found).values(version=KeyRow.version + 1, **values)
            expect_one(await connection.execute(change))
            await touch_key(connection, before.id, revision)
            return await _audited(connection, before, "key.update", actor)
    except IntegrityError:
        raise NameTaken(f"the project has a key named {name!r} already") from None


async def rotate_key(
    store: Store, id_or_name: str, *, overlap_s: float = 0.0, version: int | None = None, actor: str = "cli"
) -> tuple[Key, str]:
    """Give a key a new secret; return it with the secret, which cannot be had again.

    Args:
        store: the database.
        id_or_name: which key.
        overlap_s: seconds for which the older secrets work on, up to 90 days; those that end sooner keep their end.
        version: as for ``update_key``.
        actor: who asks, for the audit log.

    Raises:
        NotFound, InvalidValue, Conflict: as for ``update_key``.
    """
    ends_at = time.time() + check_overlap(overlap_s)
    secret = generate_secret()
    async with store.writing() as connection:
        revision = await next_revision(connection)
        before = await _live_key(connection, id_or_name)
        found = (KeyRow.id == before.id) & (KeyRow.version == (before.version if version is None else version))
        expect_one(await connection.execute(update(KeyRow).where(found).values(version=KeyRow.version + 1)))
        older = (SecretRow.key_id == before.id) & (SecretRow.expires_at.is_(None) | (SecretRow.expires_at > ends_at))
        await connection.execute(update(SecretRow).where(older).values(expires_at=ends_at))
        await touch_key(connection, before.id, revision)
        await connection.execute(
            insert(SecretRow).values(
                digest=digest(secret), key_id=before.id, hint=hint(secret), created_at=time.time(), revision=revision
            )
        )
        return await _audited(connection, before, "key.rotate", actor), secret


async def _live_key(connection: AsyncConnection, id_or_name: str) -> Key:
    key = await find_key(connection, id_or_name)
    if key.revoked_at is not None:
        raise InvalidValue("a revoked key stays as it is: create another")
    return key


async def _audited(connection: AsyncConnection, before: Key, action: str, actor: str) -> Key:
    after = await find_key(connection, before.id)
    await audit.note(
        connection, actor=actor, action=action, subject=after.id, before=public(before), after=public(after)
    )
    return after


def _json(values: tuple[str, ...]) -> str:
    return orjson.dumps(values).decode()
