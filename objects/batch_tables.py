"""The tables: batches, their lines, and who runs them."""

from sqlalchemy import BigInteger, Boolean, Double, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from auth.tables import Base


class BatchRow(Base):
    """A batch. Its ids rise with time, so that they are the cursors of lists. Times are seconds since the epoch."""

    __tablename__ = "batches"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(40))
    key_id: Mapped[str] = mapped_column(String(40))
    endpoint: Mapped[str] = mapped_column(String(64))
    input_file_id: Mapped[str] = mapped_column(String(40), index=True)
    status: Mapped[str] = mapped_column(String(16), index=True)
    model: Mapped[str | None] = mapped_column(String(256))
    metadata_: Mapped[str | None] = mapped_column("metadata", Text)
    errors: Mapped[str | None] = mapped_column(Text)
    output_expires_after_s: Mapped[int | None] = mapped_column(Integer)
    output_file_id: Mapped[str | None] = mapped_column(String(40))
    error_file_id: Mapped[str | None] = mapped_column(String(40))
    total: Mapped[int] = mapped_column(BigInteger)
    completed: Mapped[int] = mapped_column(BigInteger)
    failed: Mapped[int] = mapped_column(BigInteger)
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    cached_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float] = mapped_column(Double)
    expires_at: Mapped[float] = mapped_column(Double)
    in_progress_at: Mapped[float | None] = mapped_column(Double)
    finalizing_at: Mapped[float | None] = mapped_column(Double)
    cancelling_at: Mapped[float | None] = mapped_column(Double)
    ended_at: Mapped[float | None] = mapped_column(Double)

    __table_args__ = (Index("batches_of_project", "project_id", "id"),)


class BatchLineRow(Base):
    """A line of a running batch that has been claimed: the id of its row in the ledger, and its result once it has one.

    Lines go when their batch has ended: the results are in its files then. ``number`` counts from 1, as the errors do.
    """

    __tablename__ = "batch_lines"

    batch_id: Mapped[str] = mapped_column(ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    ledger_id: Mapped[str] = mapped_column(String(32))
    succeeded: Mapped[bool | None] = mapped_column(Boolean)
    result: Mapped[str | None] = mapped_column(Text)


class RunnerRow(Base):
    """One row: which gateway replica runs the batches. ``term`` rises with each change, and fences who was before."""

    __tablename__ = "batch_runner"

    id: Mapped[int] = mapped_column(primary_key=True)
    gateway: Mapped[str | None] = mapped_column(String(128))
    term: Mapped[int] = mapped_column(BigInteger)
