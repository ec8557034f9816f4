"""How a change to keys or projects is numbered, so that snapshots can ask for what is new."""

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.tables import Revision, SecretRow


async def next_revision(connection: AsyncConnection) -> int:
    """Return the number of this transaction's change.

    The counter's row stays locked until the transaction ends, so changes become visible in the order of their
    numbers: whoever has seen number n has seen every lower one.
    """
    statement = update(Revision).values(value=Revision.value + 1).returning(Revision.value)
    return int((await connection.execute(statement)).scalar_one())


async def touch_key(connection: AsyncConnection, key_id: str) -> None:
    """Make every snapshot load the key again."""
    revision = await next_revision(connection)
    await connection.execute(update(SecretRow).where(SecretRow.key_id == key_id).values(revision=revision))
