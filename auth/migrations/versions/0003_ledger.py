"""The ledger: requests that are over, requests that are open, and the sums of each hour."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "requests",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("key_id", sa.String(40), nullable=False),
        sa.Column("project_id", sa.String(40), nullable=False),
        sa.Column("model_asked", sa.String(128), nullable=False),
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("replica", sa.String(128), nullable=False),
        sa.Column("engine", sa.String(40), nullable=False),
        _count("prompt_tokens"),
        _count("cached_tokens"),
        _count("completion_tokens"),
        sa.Column("cost", sa.Double(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("error_code", sa.String(64)),
        sa.Column("finish_reason", sa.String(32)),
        sa.Column("queued_s", sa.Double()),
        sa.Column("ttft_s", sa.Double()),
        sa.Column("total_s", sa.Double()),
        sa.Column("streamed", sa.Boolean(), nullable=False),
        sa.Column("user", sa.String(256)),
        sa.Column("metadata", sa.Text()),
        sa.Column("created_at", sa.Double(), nullable=False),
    )
    op.create_index("requests_of_key", "requests", ["key_id", "id"])
    op.create_index("requests_of_project", "requests", ["project_id", "id"])
    op.create_table(
        "inflight",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("gateway", sa.String(128), nullable=False),
        sa.Column("row", sa.Text(), nullable=False),
        _count("completion_tokens"),
    )
    op.create_index("ix_inflight_gateway", "inflight", ["gateway"])
    op.create_table("gateways", sa.Column("id", sa.String(128), primary_key=True), _count("beat"))
    op.create_table(
        "usage_hours",
        sa.Column("hour", sa.BigInteger(), primary_key=True),
        sa.Column("project_id", sa.String(40), primary_key=True),
        sa.Column("key_id", sa.String(40), primary_key=True),
        sa.Column("model", sa.String(128), primary_key=True),
        *map(_count, ("requests", "errors", "prompt_tokens", "cached_tokens", "completion_tokens")),
        sa.Column("cost", sa.Double(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("usage_of_key", "usage_hours", ["key_id", "hour"])
