"""The keys that a gateway replica knows: all of them, in memory, at most a quarter of a second old.

The database is never on a request's way, so it may be down: known keys go on being served.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any, Self

from sqlalchemy import Select, select

from auth.bearer import bearer_token
from auth.errors import Unauthenticated
from auth.keys import Key
from auth.projects import Project, project_of
from auth.records import Records
from auth.store import Store
from auth.tables import KeyRow, ProjectRow, Revision, SecretRow

REFRESH_S = 0.25
_BATCH = 10_000
_log = logging.getLogger(__name__)


class KeySnapshot:
    """Answers who is asking. Make one with ``open``; end it with ``close``.

    Attributes:
        degraded: why the snapshot may be out of date; ``None`` while it is fresh.
    """

    def __init__(self, store: Store) -> None:
        self.degraded: str | None = None
        self._store = store
        self._records = Records()
        self._projects: dict[str, Project] = {}
        self._revision = 0
        self._one_refresh = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, store: Store) -> Self:
        """Load every key, and keep up with changes from then on.

        Raises:
            sqlalchemy.exc.SQLAlchemyError, OSError: the database cannot be read; without it nobody is known.
        """
        snapshot = cls(store)
        await snapshot.refresh()
        snapshot._refreshing = asyncio.create_task(snapshot._keep_fresh(), name="key-snapshot")
        return snapshot

    async def close(self) -> None:
        """Stop refreshing."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])

    def identify(self, authorization: str | bytes | None) -> Key:
        """Return the key in an ``Authorization`` header.

        Raises:
            Unauthenticated: no header, or no key that is valid now; the reasons cannot be told apart.
        """
        digest = hashlib.sha256(bearer_token(authorization)).digest()
        key = self._live(digest)
        if key is None:
            raise Unauthenticated(missing=False)
        return key

    def project(self, key: Key) -> Project:
        """Return the project that owns a key."""
        return self._projects[key.project]

    def find_project(self, id_or_name: str) -> Project | None:
        """Return the project in use that has that id, or else that name."""
        found = self._projects.get(id_or_name)
        if found is None:
            found = next((project for project in self._projects.values() if _is_named(project, id_or_name)), None)
        return found if found is not None and found.archived_at is None else None

    def current(self, key: Key) -> Key | None:
        """Return a key that was identified before as it is now; ``None`` when it is no longer valid."""
        return self._live(key.digest)

    async def refresh(self) -> None:
        """Load what has changed since the last time."""
        async with self._one_refresh, self._store.reading() as connection:
            revision = (await connection.execute(select(Revision.value))).scalar_one()
            if revision == self._revision:
                return
            restored_from_older_copy = revision < self._revision
            records, since = (Records(), 0) if restored_from_older_copy else (self._records, self._revision)
            projects = await connection.execute(_changed_projects(since))
            self._projects |= {project.id: project for project in map(project_of, projects)}
            changes = await connection.stream(_changes_since(since), execution_options={"yield_per": _BATCH})
            async for rows in changes.partitions():
                _apply(records, rows)
            self._records, self._revision = records, revision

    def _live(self, digest: bytes) -> Key | None:
        key = self._records.get(digest)
        if key is None or key.disabled or self._projects[key.project].archived_at is not None:
            return None
        return key if key.expires_at is None or key.expires_at > time.time() else None

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            try:
                await self.refresh()
            except Exception as error:  # any failure of any driver: the snapshot outlives it
                self._degrade(error)
            else:
                self._recover()

    def _degrade(self, error: Exception) -> None:
        if self.degraded is None:
            self.degraded = f"the key store cannot be read ({type(error).__name__}): keys are served as last known"
            _log.error("key_store_unreachable", extra={"error": type(error).__name__})

    def _recover(self) -> None:
        if self.degraded is not None:
            self.degraded = None
            _log.info("key_store_back")


def _is_named(project: Project, name: str) -> bool:
    return project.name == name and project.archived_at is None


def _apply(records: Records, rows: Iterable[Sequence[Any]]) -> None:
    for digest, secret_expires_at, disabled_at, revoked_at, version, *fields, expires_at in rows:
        if revoked_at is not None:
            records.drop(digest)
            continue
        ends = [end for end in (expires_at, secret_expires_at) if end is not None]
        state = (min(ends, default=None), disabled_at is not None, None, version)
        records.put(digest, (*fields, *state))


def _changed_projects(revision: int) -> Select[*tuple[Any, ...]]:
    return select(ProjectRow.__table__).where(ProjectRow.revision > revision)


def _changes_since(revision: int) -> Select[*tuple[Any, ...]]:
    columns = (
        SecretRow.digest,
        SecretRow.expires_at,
        KeyRow.disabled_at,
        KeyRow.revoked_at,
        KeyRow.version,
        KeyRow.id,
        KeyRow.name,
        KeyRow.project_id,
        SecretRow.hint,
        KeyRow.scopes,
        KeyRow.models,
        KeyRow.limits,
        KeyRow.created_at,
        KeyRow.expires_at,
    )
    changed = select(*columns).join_from(SecretRow, KeyRow).where(SecretRow.revision > revision)
    return changed.where(KeyRow.revoked_at.is_(None)) if revision == 0 else changed
