"""An issuer's public keys: read at the start, read again in the background, and kept while they cannot be read."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import aiohttp
import orjson
from jwt import PyJWK
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

    def __init__(self, source: str, refresh_s: float, algorithms: Iterable[str]) -> None:
        """Args: source: a URL or a file; refresh_s: how often it is read again; algorithms: those that may be used."""
        self.degraded: str | None = None
        self._source = source
        self._refresh_s = refresh_s
        self.version = 0
        self._text = b""
        self._algorithms = tuple(algorithms)
        self._keys: dict[str | None, dict[str, PyJWK]] = {}
        self._wanted = asyncio.Event()
        self._refreshing: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, source: str, refresh_s: float, algorithms: Iterable[str]) -> Self:
        """Read the keys, and keep up with them; an issuer that cannot be reached now may be later."""
        keys = cls(source, refresh_s, algorithms)
        await keys.refresh()
        keys._refreshing = asyncio.create_task(keys._keep_fresh(), name="issuer-keys")
        return keys

    async def close(self) -> None:
        """Stop reading."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])

    def find(self, key_id: str | None, algorithm: str | None) -> PyJWK | None:
        """Return the key of that id for an algorithm; a token that names none is signed by the issuer's only key."""
        if key_id is None and len(self._keys) == 1:
            (found,) = self._keys.values()
        elif key_id in self._keys:
            found = self._keys[key_id]
        else:
            self._wanted.set()
            return None
        return found.get(algorithm or "")

    async def refresh(self) -> None:
        """Read the keys once; whatever goes wrong, those of before stay."""
        try:
            text = await self._read()
            if text != self._text:
                self._keys, self._text = _usable(orjson.loads(text)["keys"], self._algorithms), text
                self.version += 1
        except (OSError, ValueError, LookupError, TypeError, aiohttp.ClientError, TimeoutError) as error:
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


def _usable(keys: Iterable[Any], algorithms: Iterable[str]) -> dict[str | None, dict[str, PyJWK]]:
    """Return the keys that can be used, by id and algorithm.

    Raises:
        ValueError: there is none.
    """
    found: dict[str | None, dict[str, PyJWK]] = {}
    for key in keys:
        for algorithm in algorithms:
            if isinstance(key, dict) and _fits(key, algorithm):
                with contextlib.suppress(PyJWTError):
                    usable = PyJWK(key, algorithm)
                    found.setdefault(usable.key_id, {})[algorithm] = usable
    if not found:
        raise ValueError("no usable key")
    return found


_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519"}


def _fits(key: dict[str, Any], algorithm: str) -> bool:
    """Say whether a key may be used in an algorithm: its own where it names one (RFC 7517, 4.4), else its type's."""
    if key.get("alg") is not None:
        return bool(key["alg"] == algorithm)
    if algorithm in _CURVES:
        return key.get("kty") in ("EC", "OKP") and key.get("crv") == _CURVES[algorithm]
    return key.get("kty") == "RSA"
