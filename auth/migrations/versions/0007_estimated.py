"""Whose count a request's tokens are: the engine's, or the gateway's own."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of rows that are there nobody knows any more, and gateways of before do not tell."""
    op.add_column("requests", sa.Column("estimated", sa.Boolean(), nullable=False, server_default=sa.false()))
