"""The key under which a batch runs: looked up anew for every line, so that a revoked one stops its batches."""

from auth.access import Access
from auth.errors import NotFound
from auth.keys import Key, read_key
from objects.batches import Mistake

KEY_GONE = Mistake("invalid_api_key", "The key that made this batch does not hold any more.")


class KeyGone(Exception):
    """The key is revoked, disabled or expired, or its project is archived."""


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
        if self._last and (current := self._access.keys.current(self._last)):
            return current
        try:
            # After a rotation the key has another secret, by which memory knows it.
            stored = await read_key(self._access.store, self._id)
        except NotFound:
            raise KeyGone from None
        self._last = self._access.keys.current(stored)
        if self._last is None:
            raise KeyGone
        return self._last
