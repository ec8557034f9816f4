"""Responses."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "responses",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("project_id", sa.String(40), nullable=False),
        sa.Column("key_id", sa.String(40), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("input", sa.Text(), nullable=False),
        sa.Column("previous_id", sa.String(40)),
        sa.Column("turns", sa.Integer(), nullable=False),
        sa.Column("gateway", sa.String(128)),
    )
    op.create_index("responses_of_project", "responses", ["project_id", "id"])
    op.create_index("responses_by_expiry", "responses", ["expires_at"])
    op.create_index("ix_responses_previous_id", "responses", ["previous_id"])
    op.create_index("ix_responses_gateway", "responses", ["gateway"])
