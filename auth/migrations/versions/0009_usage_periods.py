"""The sums of days and months, which budgets are recovered from; the index that they were read by before goes."""

import time

import sqlalchemy as sa
from alembic import op

from auth.periods import period_of

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_FILL = """
INSERT INTO usage_periods
SELECT :period, :owner, {owner}_id, model, model,
       SUM(requests), SUM(prompt_tokens), SUM(completion_tokens), SUM(cost)
FROM usage_hours WHERE hour >= :first AND hour < :end GROUP BY {owner}_id, model
"""
"""The hours know the model that answered; an alias's own use counts from here on."""


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def upgrade() -> None:
    """Create the table, and fill it for the month and the day that still count."""
    op.create_table(
        "usage_periods",
        sa.Column("period", sa.String(10), primary_key=True),
        sa.Column("owner", sa.String(7), primary_key=True),
        sa.Column("owner_id", sa.String(40), primary_key=True),
        sa.Column("model", sa.String(128), primary_key=True),
        sa.Column("model_asked", sa.String(128), primary_key=True),
        *map(_count, ("requests", "prompt_tokens", "completion_tokens")),
        sa.Column("cost", sa.Double(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.drop_index("usage_of_project", "usage_hours")
    now = time.time()
    for period in (period_of("day", now), period_of("month", now)):
        for owner in ("key", "project"):
            op.execute(
                sa.text(_FILL.format(owner=owner)).bindparams(
                    period=period.name,
                    owner=owner,
                    first=int(period.starts_at // 3600),
                    end=int(period.ends_at // 3600),
                )
            )
