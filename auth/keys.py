"""API keys: what they are, and how they come and go."""

import hashlib
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from fnmatch import translate
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import Row, Select, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from auth import audit
from auth.changes import next_revision, touch_key
from auth.checks import SCOPES, check_expiry, check_models, check_name, check_scopes, check_secret
from auth.errors import NameTaken, NotFound
from auth.limits import Limit, dump_limits, load_limits
from auth.projects import find_project
from auth.store import Store
from auth.tables import DEFAULT_PROJECT, KeyRow, SecretRow

INFERENCE, ADMIN, READ_USAGE, METRICS = SCOPES
_HINT_LENGTH = 8


@dataclass(frozen=True, slots=True)
class Key:
    """An API key as far as it may be known: never its secret.

    Attributes:
        id: public, for logs, the ledger and the admin API.
        project: the id of the project that owns it.
        hint: the secret's first characters, so that people can tell their keys apart.
        digest: SHA-256 of the secret.
        scopes: any of ``inference``, ``admin``, ``read-usage``.
        models: globs over model names; a model that none matches does not exist for this key.
        limits: what bounds this key.
        created_at, expires_at, revoked_at: seconds since the epoch, UTC.
        version: how often the key has been changed, for optimistic locking.
    """

    id: str
    name: str
    project: str
    hint: str
    digest: bytes
    scopes: tuple[str, ...]
    models: tuple[str, ...]
    limits: tuple[Limit, ...]
    created_at: float
    expires_at: float | None = None
    disabled: bool = False
    revoked_at: float | None = None
    version: int = 1


def may_use(key: Key, model: str) -> bool:
    """Say whether the key may know that ``model`` exists."""
    return _any_of(key.models).match(model) is not None


@lru_cache(maxsize=4096)
def _any_of(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(translate(glob) for glob in globs) or r"(?!)")


def generate_secret() -> str:
    """Return a new secret: ``sk-`` and 256 random bits."""
    return f"sk-{secrets.token_urlsafe(32)}"


def digest(secret: str) -> bytes:
    """Return the only form in which a secret is stored.

    A plain hash is enough: the secret is 256 random bits, so there is nothing to guess that salt or stretching
    would slow down.
    """
    return hashlib.sha256(secret.encode()).digest()


def hint(secret: str) -> str:
    """Return what may be shown of a secret."""
    return secret[:_HINT_LENGTH]


async def create_key(
    store: Store,
    *,
    name: str,
    secret: str | None = None,
    project: str | None = None,
    scopes: Iterable[str] = (INFERENCE,),
    models: Iterable[str] = ("*",),
    limits: Iterable[Limit] = (),
    expires_at: float | None = None,
    actor: str = "cli",
) -> tuple[Key, str]:
    """Store a new key; return it with its secret, which cannot be had again.

    Args:
        store: the database.
        name: unique among the project's keys that are not revoked.
        secret: ``None`` draws one; a given one must begin with ``sk-``.
        project: id or name of the owner; ``None`` means the project ``default``.
        scopes: see ``Key``.
        models: see ``Key``.
        limits: as ``parse_limits`` returns them.
        expires_at: seconds since the epoch.
        actor: who asks, for the audit log.

    Raises:
        InvalidValue: a field cannot be stored.
        NotFound: there is no such project.
        NameTaken: the project has a key of that name, or the secret is known.
    """
    secret = check_secret(secret) if secret is not None else generate_secret()
    created_at = time.time()
    key = Key(
        id=f"key_{secrets.token_hex(8)}",
        name=check_name(name),
        project=project or DEFAULT_PROJECT,
        hint=hint(secret),
        digest=digest(secret),
        scopes=check_scopes(scopes),
        models=check_models(models),
        limits=tuple(limits),
        created_at=created_at,
        expires_at=check_expiry(expires_at, now=created_at),
    )
    try:
        async with store.writing() as connection:
            key = await _insert(connection, key)
            await audit.note(connection, actor=actor, action="key.create", subject=key.id, after=public(key))
    except IntegrityError:
        raise NameTaken(f"the project has a key named {name!r} already, or the secret is in use") from None
    return key, secret


async def list_keys(
    store: Store, *, after: str = "", limit: int | None = None, project: str | None = None
) -> list[Key]:
    """Return the keys in the order of their ids, revoked ones too.

    Args:
        store: the database.
        after: the id to go on from.
        limit: how many at most.
        project: the id of the owner; ``None`` means any.
    """
    page = select(KeyRow.id).where(KeyRow.id > after).order_by(KeyRow.id).limit(limit)
    if project is not None:
        page = page.where(KeyRow.project_id == project)
    async with store.reading() as connection:
        rows = await connection.execute(key_columns().where(KeyRow.id.in_(page)).order_by(KeyRow.id))
        return list(_newest_secrets(rows.all()))


async def read_key(store: Store, id_or_name: str) -> Key:
    """Return one key; see ``find_key``."""
    async with store.reading() as connection:
        return await find_key(connection, id_or_name)


async def find_key(connection: AsyncConnection, id_or_name: str) -> Key:
    """Return the key with that id, or else the one key in use with that name.

    Raises:
        NotFound: there is none, or several projects have a key of that name.
    """
    named = (KeyRow.name == id_or_name) & KeyRow.revoked_at.is_(None)
    rows = await connection.execute(key_columns().where(or_(KeyRow.id == id_or_name, named)))
    keys = list(_newest_secrets(rows.all()))
    exact = [key for key in keys if key.id == id_or_name] or keys
    if len(exact) != 1:
        raise NotFound(f"several keys are named {id_or_name!r}: use the id" if exact else f"no key {id_or_name!r}")
    return exact[0]


async def revoke_key(store: Store, id_or_name: str, *, actor: str = "cli") -> Key:
    """Stop a key for ever; return it. Revoking it again changes nothing.

    Raises:
        NotFound: there is no such key, or the name is ambiguous.
    """
    async with store.writing() as connection:
        revision = await next_revision(connection)
        before = await find_key(connection, id_or_name)
        if before.revoked_at is not None:
            return before
        values = {"revoked_at": time.time(), "version": KeyRow.version + 1}
        await connection.execute(update(KeyRow).where(KeyRow.id == before.id).values(values))
        await touch_key(connection, before.id, revision)
        after = await find_key(connection, before.id)
        await audit.note(
            connection, actor=actor, action="key.revoke", subject=after.id, before=public(before), after=public(after)
        )
        return after


def public(key: Key) -> dict[str, Any]:
    """Return what may be shown and logged of a key."""
    return {name: value for name, value in asdict(key).items() if name != "digest"}


def key_columns() -> Select[*tuple[Any, ...]]:
    """Select every secret with its key, one row each; ``key_of`` reads such a row."""
    return select(
        KeyRow.id,
        KeyRow.name,
        KeyRow.project_id,
        SecretRow.hint,
        SecretRow.digest,
        KeyRow.scopes,
        KeyRow.models,
        KeyRow.limits,
        KeyRow.created_at,
        KeyRow.expires_at,
        KeyRow.disabled_at,
        KeyRow.revoked_at,
        KeyRow.version,
        SecretRow.created_at.label("secret_created_at"),
    ).join_from(KeyRow, SecretRow)


def _newest_secrets(rows: Iterable[Row[*tuple[Any, ...]]]) -> Iterable[Key]:
    """Yield each key once, with the newest of its secrets."""
    newest: dict[str, Row[*tuple[Any, ...]]] = {}
    for row in rows:
        if row.id not in newest or row.secret_created_at > newest[row.id].secret_created_at:
            newest[row.id] = row
    return map(_key_of, newest.values())


def _key_of(row: Row[*tuple[Any, ...]]) -> Key:
    return Key(
        id=row.id,
        name=row.name,
        project=row.project_id,
        hint=row.hint,
        digest=row.digest,
        scopes=tuple(orjson.loads(row.scopes)),
        models=tuple(orjson.loads(row.models)),
        limits=load_limits(row.limits),
        created_at=row.created_at,
        expires_at=row.expires_at,
        disabled=row.disabled_at is not None,
        revoked_at=row.revoked_at,
        version=row.version,
    )


async def _insert(connection: AsyncConnection, key: Key) -> Key:
    """Store the key; return it with its project's id in place of a name."""
    revision = await next_revision(connection)
    project = (await find_project(connection, key.project)).id
    row = {
        "id": key.id,
        "name": key.name,
        "project_id": project,
        "scopes": orjson.dumps(key.scopes).decode(),
        "models": orjson.dumps(key.models).decode(),
        "limits": dump_limits(key.limits),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "version": key.version,
    }
    await connection.execute(insert(KeyRow).values(row))
    await connection.execute(
        insert(SecretRow).values(
            digest=key.digest,
            key_id=key.id,
            hint=key.hint,
            created_at=key.created_at,
            revision=revision,
        )
    )
    return replace(key, project=project)
