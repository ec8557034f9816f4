"""Rows that the database refuses are set aside, one by one, so that none keeps another waiting.

Whether a row is refused, or the database is away, no driver's error tells for sure. So it is tried: where a write
without any row succeeds and one with this row alone does not, it is the row.
"""

import hashlib
import json
import logging
import time
from collections.abc import Sequence

from auth.ledger_row import LedgerRow
from auth.ledger_tables import RefusedRow
from auth.ledger_write import Batch, write
from auth.store import Store
from auth.upsert import merged

_ERROR_LENGTH = 64
_ID_LENGTH = 32
_MAX_LINE = 2**16
_log = logging.getLogger(__name__)


async def write_what_fits(store: Store, gateway: str, rows: Sequence[LedgerRow]) -> int:
    """Write rows of which a write together has failed; return how many were refused and set aside.

    Raises:
        Exception: as the database's driver does, when it does not answer; what is not written can be written again.
    """
    await write(store, Batch(gateway, (), (), {}))  # it answers, or all rows wait
    try:
        await write(store, Batch(gateway, rows, (), {}))
    except Exception as error:
        if len(rows) > 1:
            middle = len(rows) // 2
            first = await write_what_fits(store, gateway, rows[:middle])
            return first + await write_what_fits(store, gateway, rows[middle:])
        await write(store, Batch(gateway, (), (), {}))
        await _set_aside(store, rows[0], error)
        return 1
    return 0


async def _set_aside(store: Store, row: LedgerRow, error: Exception) -> None:
    kind = type(error).__name__[:_ERROR_LENGTH]
    text = json.dumps(row.columns(), default=repr)  # the standard library knows numbers of any size
    refused = {"id": row.id, "refused_at": time.time(), "error": kind, "row": text}
    async with store.writing() as connection:
        await connection.execute(merged(connection, RefusedRow), [refused])
    _log.error("ledger_row_refused", extra={"row": row.id, "error": kind})


async def set_lines_aside(store: Store, lines: Sequence[bytes]) -> int:
    """Set aside lines that should have been rows and cannot be read, as they are; return how many.

    Raises:
        Exception: as the database's driver does, when it does not answer.
    """
    refused = [
        {
            "id": hashlib.sha256(line).hexdigest()[:_ID_LENGTH],
            "refused_at": time.time(),
            "error": "unreadable",
            "row": line[:_MAX_LINE].decode(errors="backslashreplace").replace("\0", "\N{REPLACEMENT CHARACTER}"),
        }
        for line in lines
    ]
    if refused:
        async with store.writing() as connection:
            await connection.execute(merged(connection, RefusedRow), refused)
        _log.error("ledger_lines_unreadable", extra={"lines": len(refused)})
    return len(refused)
