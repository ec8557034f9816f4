"""The tables: what was used."""

from sqlalchemy import BigInteger, Boolean, Double, Index, Integer, String, Text, false
from sqlalchemy.orm import Mapped, mapped_column

from auth.tables import Base


class RequestRow(Base):
    """One request that is over. Its columns are the fields of ``LedgerRow``; its ids rise with time."""

    __tablename__ = "requests"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    request_id: Mapped[str] = mapped_column(String(128))
    key_id: Mapped[str] = mapped_column(String(40))
    project_id: Mapped[str] = mapped_column(String(40))
    model_asked: Mapped[str] = mapped_column(String(128))
    model: Mapped[str] = mapped_column(String(128))
    replica: Mapped[str] = mapped_column(String(128))
    engine: Mapped[str] = mapped_column(String(40))
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    cached_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)
    cost: Mapped[float] = mapped_column(Double)
    estimated: Mapped[bool] = mapped_column(Boolean, server_default=false())
    status: Mapped[int] = mapped_column(Integer)
    error_code: Mapped[str | None] = mapped_column(String(64))
    finish_reason: Mapped[str | None] = mapped_column(String(32))
    queued_s: Mapped[float | None] = mapped_column(Double)
    ttft_s: Mapped[float | None] = mapped_column(Double)
    total_s: Mapped[float | None] = mapped_column(Double)
    streamed: Mapped[bool] = mapped_column(Boolean)
    user: Mapped[str | None] = mapped_column(String(256))
    metadata_: Mapped[str | None] = mapped_column("metadata", Text)
    created_at: Mapped[float] = mapped_column(Double)

    __table_args__ = (Index("requests_of_key", "key_id", "id"), Index("requests_of_project", "project_id", "id"))


class InflightRow(Base):
    """A request that a gateway replica has open: what the ledger will say if the replica dies."""

    __tablename__ = "inflight"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    gateway: Mapped[str] = mapped_column(String(128), index=True)
    row: Mapped[str] = mapped_column(Text)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)


class GatewayRow(Base):
    """A gateway replica that lives: its ``beat`` rises. No clocks are compared."""

    __tablename__ = "gateways"

    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    beat: Mapped[int] = mapped_column(BigInteger)


class RefusedRow(Base):
    """A row that the database would not take among the others, as JSON; ``error`` is the driver's name for why."""

    __tablename__ = "refused_rows"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    refused_at: Mapped[float] = mapped_column(Double)
    error: Mapped[str] = mapped_column(String(64))
    row: Mapped[str] = mapped_column(Text)


class RefusalRow(Base):
    """How often one gateway replica has not let a key in, for one reason, in one minute (since the epoch)."""

    __tablename__ = "refusals"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    minute: Mapped[int] = mapped_column(BigInteger)
    key_id: Mapped[str] = mapped_column(String(40))
    project_id: Mapped[str] = mapped_column(String(40))
    model_asked: Mapped[str] = mapped_column(String(128))
    status: Mapped[int] = mapped_column(Integer)
    error_code: Mapped[str] = mapped_column(String(64))
    count: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (Index("refusals_of_key", "key_id", "minute"), Index("refusals_by_minute", "minute"))


class UsageHourRow(Base):
    """The sums of one hour's requests, kept in the transactions that insert them. ``hour``: since the epoch."""

    __tablename__ = "usage_hours"

    hour: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    project_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    key_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    model: Mapped[str] = mapped_column(String(128), primary_key=True)
    requests: Mapped[int] = mapped_column(BigInteger)
    errors: Mapped[int] = mapped_column(BigInteger)
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    cached_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)
    cost: Mapped[float] = mapped_column(Double)

    # Without row ids SQLite keeps the rows in the order of their hours, so that a month is read in one go.
    __table_args__ = (Index("usage_of_key", "key_id", "hour"), {"sqlite_with_rowid": False})


class UsagePeriodRow(Base):
    """What an owner of budgets has used in one day or month: a coordinator that knows nothing reads few rows of it.

    ``owner`` is ``key`` or ``project``; limits may name the model that was asked for as well as the one that answered.
    """

    __tablename__ = "usage_periods"

    period: Mapped[str] = mapped_column(String(10), primary_key=True)
    owner: Mapped[str] = mapped_column(String(7), primary_key=True)
    owner_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    model: Mapped[str] = mapped_column(String(128), primary_key=True)
    model_asked: Mapped[str] = mapped_column(String(128), primary_key=True)
    requests: Mapped[int] = mapped_column(BigInteger)
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)
    cost: Mapped[float] = mapped_column(Double)

    __table_args__ = ({"sqlite_with_rowid": False},)
