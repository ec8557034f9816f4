"""Rows that the ledger would not take, and an index for the sums of a project."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table and the index."""
    op.create_table(
        "refused_rows",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("refused_at", sa.Double(), nullable=False),
        sa.Column("error", sa.String(64), nullable=False),
        sa.Column("row", sa.Text(), nullable=False),
    )
    op.create_index("usage_of_project", "usage_hours", ["project_id", "hour"])
