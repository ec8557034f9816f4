"""The tables: who may ask.

Times are seconds since the epoch (UTC) as doubles; lists and limits are JSON texts, parsed by the module that owns
their meaning. ``version`` counts a record's changes (optimistic locking); ``revision`` is the store-wide counter at
the record's last change, so that snapshots load only what is new.
"""

from sqlalchemy import BigInteger, Double, ForeignKey, Index, Integer, LargeBinary, String, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAME_LENGTH = 128
DEFAULT_PROJECT = "default"


class Base(DeclarativeBase):
    """The metadata that migrations are checked against."""


class Revision(Base):
    """One row: the number of changes to keys and projects so far. Its lock puts writers in commit order."""

    __tablename__ = "revision"

    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class ProjectRow(Base):
    """A project owns keys, and may bound them all together."""

    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    limits: Mapped[str] = mapped_column(Text, server_default="[]")
    created_at: Mapped[float] = mapped_column(Double)
    archived_at: Mapped[float | None] = mapped_column(Double)
    version: Mapped[int] = mapped_column(BigInteger)
    revision: Mapped[int] = mapped_column(BigInteger, index=True)

    __table_args__ = (
        Index(
            "live_project_name",
            "name",
            unique=True,
            sqlite_where=text("archived_at IS NULL"),
            postgresql_where=text("archived_at IS NULL"),
        ),
    )


class KeyRow(Base):
    """A key: what its secrets may do. It is never deleted, so that the ledger's rows keep their owner."""

    __tablename__ = "keys"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    scopes: Mapped[str] = mapped_column(Text)
    models: Mapped[str] = mapped_column(Text)
    limits: Mapped[str] = mapped_column(Text, server_default="[]")
    created_at: Mapped[float] = mapped_column(Double)
    expires_at: Mapped[float | None] = mapped_column(Double)
    disabled_at: Mapped[float | None] = mapped_column(Double)
    revoked_at: Mapped[float | None] = mapped_column(Double)
    version: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        Index(
            "live_key_name",
            "project_id",
            "name",
            unique=True,
            sqlite_where=text("revoked_at IS NULL"),
            postgresql_where=text("revoked_at IS NULL"),
        ),
    )


class SecretRow(Base):
    """The hash of one secret of a key: one, or more while a rotation's overlap lasts.

    ``revision`` moves with every change of the secret and of its key, so snapshots watch this table alone.
    """

    __tablename__ = "secrets"

    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("keys.id"), index=True)
    hint: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[float] = mapped_column(Double)
    expires_at: Mapped[float | None] = mapped_column(Double)
    revision: Mapped[int] = mapped_column(BigInteger, index=True)


class AuditRow(Base):
    """One administrative action; the database refuses to change or delete it."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    at: Mapped[float] = mapped_column(Double)
    actor: Mapped[str] = mapped_column(String(NAME_LENGTH))
    action: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str] = mapped_column(String(40), index=True)
    before: Mapped[str | None] = mapped_column(Text)
    after: Mapped[str | None] = mapped_column(Text)
