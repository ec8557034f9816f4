"""Files, batches, the lines of running batches, and who runs them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _moment(name: str, *, nullable: bool = True) -> sa.Column[float]:
    return sa.Column(name, sa.Double(), nullable=nullable)


def upgrade() -> None:
    """Create the tables, and the row of the runner."""
    op.create_table(
        "files",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("project_id", sa.String(40), nullable=False),
        sa.Column("filename", sa.String(255), nullable=False),
        sa.Column("purpose", sa.String(40), nullable=False),
        _count("bytes"),
        _moment("created_at", nullable=False),
        _moment("stored_at"),
        _moment("expires_at"),
    )
    op.create_index("files_of_project", "files", ["project_id", "id"])
    op.create_index("files_by_expiry", "files", ["expires_at"])
    op.create_table(
        "batches",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("project_id", sa.String(40), nullable=False),
        sa.Column("key_id", sa.String(40), nullable=False),
        sa.Column("endpoint", sa.String(64), nullable=False),
        sa.Column("input_file_id", sa.String(40), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("model", sa.String(256)),
        sa.Column("metadata", sa.Text()),
        sa.Column("errors", sa.Text()),
        sa.Column("output_expires_after_s", sa.Integer()),
        sa.Column("output_file_id", sa.String(40)),
        sa.Column("error_file_id", sa.String(40)),
        *map(_count, ("total", "completed", "failed", "prompt_tokens", "cached_tokens", "completion_tokens")),
        _moment("created_at", nullable=False),
        _moment("expires_at", nullable=False),
        *map(_moment, ("in_progress_at", "finalizing_at", "cancelling_at", "ended_at")),
    )
    op.create_index("batches_of_project", "batches", ["project_id", "id"])
    op.create_index("ix_batches_input_file_id", "batches", ["input_file_id"])
    op.create_index("ix_batches_status", "batches", ["status"])
    op.create_table(
        "batch_lines",
        sa.Column("batch_id", sa.String(40), sa.ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("ledger_id", sa.String(32), nullable=False),
        sa.Column("succeeded", sa.Boolean()),
        sa.Column("result", sa.Text()),
    )
    runner = op.create_table(
        "batch_runner",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("gateway", sa.String(128)),
        _count("term"),
    )
    op.bulk_insert(runner, [{"id": 1, "gateway": None, "term": 0}])
