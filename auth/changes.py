"""What every change to keys and projects has in common: its number, its fields, its conflict with another."""

import enum
from typing import Any, Final

from sqlalchemy import CursorResult, Result, update
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.errors import Conflict
from auth.tables import Revision, SecretRow


class Unchanged(enum.Enum):
    """The type of ``UNCHANGED``."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED
"""Says that a field is to be left as it is, where ``None`` is a value."""


def given(**fields: Any) -> dict[str, Any]:
    """Return the fields that are to be changed."""
    return {name: value for name, value in fields.items() if value is not UNCHANGED}


async def next_revision(connection: AsyncConnection) -> int:
    """Return the number of this transaction's change.

    The counter's row stays locked until the transaction ends, so changes become visible in the order of their
    numbers: whoever has seen number n has seen every lower one.
    """
    statement = update(Revision).values(value=Revision.value + 1).returning(Revision.value)
    return int((await connection.execute(statement)).scalar_one())


async def touch_key(connection: AsyncConnection, key_id: str, revision: int) -> None:
    """Make every snapshot load the key again."""
    await connection.execute(update(SecretRow).where(SecretRow.key_id == key_id).values(revision=revision))


def expect_one(result: Result[Any]) -> None:
    """Raise ``Conflict`` unless an update by version has found its row."""
    if isinstance(result, CursorResult) and result.rowcount != 1:
        raise Conflict("it has been changed by somebody else: read it again, then repeat the change")
