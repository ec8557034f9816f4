"""How often who was not let in, why, and in which minute."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "refusals",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("minute", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.String(40), nullable=False),
        sa.Column("project_id", sa.String(40), nullable=False),
        sa.Column("model_asked", sa.String(128), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("error_code", sa.String(64), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
    )
    op.create_index("refusals_of_key", "refusals", ["key_id", "minute"])
    op.create_index("refusals_by_minute", "refusals", ["minute"])
