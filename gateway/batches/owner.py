"""The key under which a batch runs: looked up anew for every line, so that a revoked one stops its batches."""

from auth.access import Access
from auth.errors import NotFound
from auth.keys import Key, read_key
from objects.batches import Mistake

KEY_GONE = Mistake("invalid_api_key", "The key that made this batch does not hold any more.")


class KeyGone(Exception):
    """The key is revoked, disabled or expired, may ask no models any more, or its project is archived."""


class Owner:
    """Knows a key by its id, and follows its changes."""

    def __init__(self, access: Access, key_id: str) -> None:
        self._access = access
        self._id = key_id
        self._last: Key | None = None

    async def key(self) -> Key:
        """Return the key as it is now.

        Raises:
            KeyGone: it does not hold any more.
            SQLAlchemyError, OSError: the database is needed and does not answer.
        """
        if current := self._current():
            return current
        try:
            # After a rotation the key has another secret, by which memory knows it.
            stored = await read_key(self._access.store, self._id)
        except NotFound:
            raise KeyGone from None
        self._last = stored
        if current := self._current():
            return current
        raise KeyGone

    def is_gone(self) -> bool:
        """Say whether the key that ``key`` returned last does not hold any more; it may have another secret by now."""
        return self._current() is None

    def _current(self) -> Key | None:
        return self._access.current(self._last) if self._last else None
