"""Ends of responses that the database could not take: on disk until it does, across restarts as well.

They are as many as may run at most: while the database is away, no other begins.
"""

import contextlib
from pathlib import Path

import orjson
import structlog

from auth.private_file import whole_file
from auth.store import Store
from objects.response_runs import end_late
from objects.responses import Json

log = structlog.get_logger("raygate.responses")


class LateEnds:
    """A folder of ends, one file each, readable by its owner alone; replicas of one machine may share it."""

    def __init__(self, folder: Path) -> None:
        """Args: folder: made when it is first needed."""
        self._folder = folder

    def keep(self, response_id: str, body: Json) -> None:
        """Keep a response's last state. Logs, and never raises, where the disk does not take it."""
        try:
            with whole_file(self._folder / f"{response_id}.json") as file:
                file.write(orjson.dumps(body))
        except OSError as error:
            log.exception("response lost", response=response_id, error=type(error).__name__)

    async def store(self, store: Store) -> None:
        """Bring everything that was kept into the database.

        Raises:
            SQLAlchemyError, OSError: it does not answer; what it has not taken is kept.
        """
        for path in sorted(self._folder.glob("*.json")):
            with contextlib.suppress(FileNotFoundError):  # another replica was quicker
                try:
                    body = orjson.loads(path.read_bytes())
                except orjson.JSONDecodeError:
                    log.exception("response lost", response=path.stem, error="JSONDecodeError")
                else:
                    await end_late(store, path.stem, body)
                path.unlink()
