"""Keys in memory, packed: a million of them in about 300 MB, a look-up in about a microsecond.

A million ``Key`` objects would weigh half a gigabyte and slow every garbage collection down. So each secret is one
``bytes``: its digest, then its key as JSON. A key that is used is unpacked once and kept, up to a bound.
"""

import hmac
from collections.abc import Sequence
from typing import Any

import orjson

from auth.keys import Key
from auth.limits import load_limits

_DIGEST = 32
_INDEX = 16
_UNPACKED_KEYS = 32_768


class Records:
    """Every live secret's key, by the secret's digest."""

    def __init__(self) -> None:
        self._packed: dict[bytes, bytes] = {}
        self._unpacked: dict[bytes, Key] = {}

    def __len__(self) -> int:
        return len(self._packed)

    def put(self, digest: bytes, fields: Sequence[Any]) -> None:
        """Store a secret's key; ``fields`` are ``Key``'s but for the digest, with JSON texts for its tuples."""
        self._packed[digest[:_INDEX]] = digest + orjson.dumps(fields)
        self._unpacked.pop(digest, None)

    def drop(self, digest: bytes) -> None:
        """Forget a secret."""
        self._packed.pop(digest[:_INDEX], None)
        self._unpacked.pop(digest, None)

    def get(self, digest: bytes) -> Key | None:
        """Return the key of the secret with that digest.

        The dictionary finds by half of the digest; the whole is compared in constant time.
        """
        key = self._unpacked.get(digest) or self._unpack(digest)
        return key if key is not None and hmac.compare_digest(key.digest, digest) else None

    def _unpack(self, digest: bytes) -> Key | None:
        record = self._packed.get(digest[:_INDEX])
        if record is None:
            return None
        key_id, name, project, hint, scopes, models, limits, *rest = orjson.loads(record[_DIGEST:])
        key = Key(
            key_id,
            name,
            project,
            hint,
            record[:_DIGEST],
            tuple(orjson.loads(scopes)),
            tuple(orjson.loads(models)),
            load_limits(limits),
            *rest,
        )
        if len(self._unpacked) >= _UNPACKED_KEYS:
            self._unpacked.clear()
        self._unpacked[key.digest] = key
        return key
