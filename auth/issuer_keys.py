"""An issuer's public keys: read at the start, read again in the background, and kept while they cannot be read."""

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Self

import aiohttp
from jwt import PyJWK, PyJWKSet
from jwt.exceptions import PyJWTError

AGAIN_S = 10.0
"""Keys that could not be read, or a token by a key that is not among them, have them read so soon again."""

_TIMEOUT_S = 5.0
_log = logging.getLogger(__name__)


class IssuerKeys:
    """The keys by their ids. Make one with ``open``; end it with ``close``.

    Attributes:
        degraded: why the keys may be out of date; ``None`` while they are fresh.
        version: how often they have changed.
    """

    def __init__(self, source: str, refresh_s: float) -> None:
        """Args: source: a URL or a file; refresh_s: how often it is read again."""
        self.degraded: str | None = None
        self._source = source
        self._refresh_s = refresh_s
        self.version = 0
        self._text = b""
        self._keys: dict[str | None, PyJWK] = {}
        self._wanted = asyncio.Event()
        self._refreshing: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, source: str, refresh_s: float) -> Self:
        """Read the keys, and keep up with them; an issuer that cannot be reached now may be later."""
        keys = cls(source, refresh_s)
        await keys.refresh()
        keys._refreshing = asyncio.create_task(keys._keep_fresh(), name="issuer-keys")
        return keys

    async def close(self) -> None:
        """Stop reading."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])

    def find(self, key_id: str | None) -> PyJWK | None:
        """Return the key of that id; a token that names none is signed by the issuer's only key."""
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        found = self._keys.get(key_id)
        if found is None:
            self._wanted.set()
        return found

    async def refresh(self) -> None:
        """Read the keys once; whatever goes wrong, those of before stay."""
        try:
            text = await self._read()
            if text != self._text:
                # Keys that PyJWT cannot use are left out.
                usable = PyJWKSet.from_json(text.decode()).keys
                self._keys, self._text = {key.key_id: key for key in usable}, text
                self.version += 1
        except (OSError, ValueError, aiohttp.ClientError, TimeoutError, PyJWTError, AttributeError) as error:
            if self.degraded is None:
                _log.error("issuer_keys_unreadable", extra={"error": type(error).__name__})
            self.degraded = f"the token issuer's keys cannot be read ({type(error).__name__}): the last ones stand"
        else:
            self.degraded = None

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(min(AGAIN_S, self._refresh_s))
            if self.degraded is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, self._refresh_s - AGAIN_S)):
                        await self._wanted.wait()
            self._wanted.clear()
            await self.refresh()

    async def _read(self) -> bytes:
        if not self._source.startswith(("http://", "https://")):
            return await asyncio.to_thread(Path(self._source).read_bytes)
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as client,
            client.get(self._source, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise OSError(f"status {response.status}")
            return await response.read()
