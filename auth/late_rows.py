"""Rows that wait at a stop while the database is away: on disk, until a gateway of the same home finds it answering.

They hold what the ledger holds, no prompt and no answer, and are readable by their owner alone.
"""

import json
import logging
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import TypeAdapter

from auth.ledger_row import LedgerRow, new_id
from auth.private_file import whole_file
from auth.refused_rows import set_lines_aside, write_what_fits
from auth.store import Store

MAX_BYTES = 256 * 2**20
"""Of all files together."""

_BATCH_ROWS = 500
_ID_LENGTH = 32
_ROW: TypeAdapter[LedgerRow] = TypeAdapter(LedgerRow)
_log = logging.getLogger(__name__)


class LateRows:
    """A folder of rows, one file a stop, one line a row; gateway replicas of one machine share it."""

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        """Args: folder: made when it is first needed. max_bytes: what all files may have together."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._unfit: set[Path] = set()

    def keep(self, rows: Iterable[LedgerRow]) -> int:
        """Write rows to a file of their own, the first of them where there is not room for all; return how many.

        Raises:
            OSError: the disk does not take them; then none is kept.
        """
        kept = 0
        with whole_file(self._folder / f"{new_id()}.rows") as file:
            room = self._max_bytes - sum(path.stat().st_size for path in self._folder.iterdir())
            for line in map(_line, rows):
                room -= len(line)
                if room < 0:
                    break
                file.write(line)
                kept += 1
        return kept

    async def take_up(self, store: Store, gateway: str) -> int:
        """Bring all rows that were kept into the ledger, and return how many could not be and were set aside.

        Whatever is there already stays as it is: of two replicas that take up the same file, neither writes twice.

        Raises:
            Exception: as the database's driver does, when it does not answer; what is not written stays on disk.
        """
        found = sorted(set(self._folder.glob("*.rows")) - self._unfit)
        return sum([await self._take_up(path, store, gateway) for path in found])

    async def _take_up(self, path: Path, store: Store, gateway: str) -> int:
        set_aside, file = 0, self._opened(path)
        if file is None:
            return 0
        with file:
            while lines := list(islice(file, _BATCH_ROWS)):
                rows, unreadable = _read(lines)
                set_aside += await write_what_fits(store, gateway, rows)
                set_aside += await set_lines_aside(store, unreadable)
        self._remove(path)
        _log.info("ledger_rows_taken_up", extra={"file": path.name, "set_aside": set_aside})
        return set_aside

    def _opened(self, path: Path) -> BinaryIO | None:
        try:
            return path.open("rb")
        except FileNotFoundError:  # another replica was quicker
            return None
        except OSError as error:
            self._leave(path, error)
            return None

    def _remove(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            self._leave(path, error)

    def _leave(self, path: Path, error: OSError) -> None:
        """Look at a file no more: it would fail again for as long as this process runs."""
        self._unfit.add(path)
        _log.error("ledger_file_left", extra={"file": path.name, "error": type(error).__name__})


def _line(row: LedgerRow) -> bytes:
    # The standard library knows numbers of any size; a row that no database takes is set aside when it is taken up.
    return json.dumps(row.columns(), default=repr).encode() + b"\n"


def _read(lines: Sequence[bytes]) -> tuple[list[LedgerRow], list[bytes]]:
    """Return the rows in some lines, and the lines that are none."""
    rows, unreadable = [], []
    for line in lines:
        try:
            rows.append(_row(json.loads(line)))
        except (ValueError, TypeError, KeyError, RecursionError):
            unreadable.append(line)
    return rows, unreadable


def _row(columns: dict[str, Any]) -> LedgerRow:
    """Return the row; raises ``ValueError``, ``TypeError`` or ``KeyError`` for what is none."""
    metadata = columns["metadata"]
    named = {name: columns[name] for name in ("id", "created_at")}  # else it would become another row each time
    row = _ROW.validate_python({**columns, **named, "metadata": metadata and json.loads(metadata)})
    if not 0 < len(row.id) <= _ID_LENGTH or not row.id.isprintable():
        raise ValueError("no id")
    return row
