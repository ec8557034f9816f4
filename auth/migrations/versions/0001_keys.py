"""Projects, keys and their secrets."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, the revision counter and the default project."""
    revisions = op.create_table(
        "revision",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("value", sa.BigInteger(), nullable=False),
    )
    projects = op.create_table(
        "projects",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("limits", sa.Text(), server_default="[]", nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("archived_at", sa.Double()),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_projects_revision", "projects", ["revision"])
    live = sa.text("archived_at IS NULL")
    op.create_index("live_project_name", "projects", ["name"], unique=True, sqlite_where=live, postgresql_where=live)
    op.create_table(
        "keys",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("project_id", sa.String(40), sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("models", sa.Text(), nullable=False),
        sa.Column("limits", sa.Text(), server_default="[]", nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double()),
        sa.Column("disabled_at", sa.Double()),
        sa.Column("revoked_at", sa.Double()),
        sa.Column("version", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_keys_project_id", "keys", ["project_id"])
    live = sa.text("revoked_at IS NULL")
    op.create_index(
        "live_key_name", "keys", ["project_id", "name"], unique=True, sqlite_where=live, postgresql_where=live
    )
    op.create_table(
        "secrets",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("key_id", sa.String(40), sa.ForeignKey("keys.id"), nullable=False),
        sa.Column("hint", sa.String(16), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double()),
        sa.Column("revision", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_secrets_key_id", "secrets", ["key_id"])
    op.create_index("ix_secrets_revision", "secrets", ["revision"])
    op.bulk_insert(revisions, [{"id": 1, "value": 1}])
    default = {"id": "default", "name": "default", "created_at": time.time(), "version": 1, "revision": 1}
    op.bulk_insert(projects, [default])
