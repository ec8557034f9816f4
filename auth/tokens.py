"""Turns a JSON Web Token of the trusted issuer into an identity like that of a key.

Nothing that the token itself says chooses how it is checked: algorithms, issuer, audience and keys come from the
configuration (RFC 8725).
"""

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

import jwt

from auth.checks import SCOPES, check_models
from auth.errors import InvalidValue, Unauthenticated
from auth.identity import Identity
from auth.issuer_keys import IssuerKeys
from auth.keys import INFERENCE, Key
from auth.limits import parse_limits
from auth.projects import Project
from auth.tables import NAME_LENGTH

ID_PREFIX = "jwt_"
"""How the ids of such identities begin, in logs and in the ledger; the rest stands for issuer and subject."""

MAX_LENGTH = 8192
"""Characters of a header with a token."""

_KNOWN_TOKENS = 10_000
_TOKEN = re.compile(rb"bearer +([\w-]+\.[\w-]+\.[\w-]*)", re.IGNORECASE | re.ASCII)
_REQUIRED = ["exp", "iss", "aud", "sub"]

FindProject = Callable[[str], Project | None]
"""Returns the project in use that has that id or name."""


def token_in(authorization: str | bytes | None) -> str | None:
    """Return the token in an ``Authorization`` header; ``None`` for what does not look like one."""
    if authorization is None or len(authorization) > MAX_LENGTH or not authorization.isascii():
        return None
    header = authorization.encode() if isinstance(authorization, str) else authorization
    match = _TOKEN.fullmatch(header.strip(b" "))
    return match[1].decode() if match and not match[1].startswith(b"sk-") else None


class Tokens:
    """Knows whom the issuer vouches for. Make one with ``open``; end it with ``close``."""

    def __init__(self, identity: Identity, keys: IssuerKeys, find_project: FindProject) -> None:
        self._identity = identity
        self._keys = keys
        self._find_project = find_project
        self._limits = parse_limits(identity.default_limits)
        self._known: dict[bytes, Key] = {}
        self._known_by = keys.version

    @classmethod
    async def open(cls, identity: Identity, find_project: FindProject) -> Self:
        """Read the issuer's keys; while they cannot be read, no new token holds."""
        return cls(
            identity, await IssuerKeys.open(identity.jwks, identity.refresh_s, identity.algorithms), find_project
        )

    async def close(self) -> None:
        """Stop keeping up with the issuer's keys."""
        await self._keys.close()

    @property
    def degraded(self) -> str | None:
        """Why the issuer's keys may be out of date."""
        return self._keys.degraded

    def identify(self, token: str) -> Key:
        """Return the identity for which a token stands. Its signature is checked once, its expiry each time.

        Raises:
            Unauthenticated: the token does not hold, for whatever reason.
        """
        digest = hashlib.sha256(token.encode()).digest()
        if self._known_by != self._keys.version or len(self._known) >= _KNOWN_TOKENS:
            self._known.clear()
            self._known_by = self._keys.version
        key = self._known.get(digest)
        if key is None:
            key = self._known[digest] = self._read(token, digest)
        if not self.is_valid(key):
            raise Unauthenticated(missing=False)
        return key

    def is_valid(self, key: Key) -> bool:
        """Say whether an identity that a token gave has neither expired nor lost its project."""
        return (key.expires_at or 0) > time.time() and self._find_project(key.project) is not None

    def _read(self, token: str, digest: bytes) -> Key:
        try:
            return self._key_of(self._verified(token), digest)
        except (jwt.PyJWTError, InvalidValue, ValueError, TypeError, OverflowError):
            raise Unauthenticated(missing=False) from None

    def _verified(self, token: str) -> Mapping[str, Any]:
        header = jwt.get_unverified_header(token)
        public = self._keys.find(header.get("kid"), header.get("alg"))
        if public is None:
            raise jwt.InvalidKeyError
        claims: Mapping[str, Any] = jwt.decode(
            token,
            public,
            algorithms=list(self._identity.algorithms),
            issuer=self._identity.issuer,
            audience=self._identity.audience,
            leeway=self._identity.leeway_s,
            options={"require": _REQUIRED},
        )
        return claims

    def _key_of(self, claims: Mapping[str, Any], digest: bytes) -> Key:
        names = self._identity.claims
        named = _claim(claims, names.project, self._identity.default_project)
        project = self._find_project(named) if isinstance(named, str) else None
        if project is None:
            raise InvalidValue("there is no such project")
        scopes = _words(_claim(claims, names.scopes, [INFERENCE]))
        limits = _claim(claims, names.limits, None)
        subject = hashlib.sha256(f"{claims['iss']}\0{claims['sub']}".encode()).hexdigest()
        return Key(
            id=f"{ID_PREFIX}{subject[:32]}",
            name="".join(filter(str.isprintable, str(claims["sub"])))[:NAME_LENGTH],
            project=project.id,
            hint="jwt",
            digest=digest,
            scopes=tuple(scope for scope in SCOPES if scope in scopes),
            models=check_models(_words(_claim(claims, names.models, ["*"]))),
            limits=self._limits if limits is None else parse_limits(_objects(limits)),
            created_at=float(claims.get("iat") or 0),
            expires_at=float(claims["exp"]) + self._identity.leeway_s,
        )


def _claim(claims: Mapping[str, Any], name: str | None, default: Any) -> Any:
    return claims.get(name, default) if name is not None else default


def _objects(value: Any) -> list[dict[str, Any]]:
    """Return a claim's list of objects; what is empty by accident, as ``{}`` or ``""``, must not mean none."""
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise InvalidValue("a list of objects")
    return value


def _words(value: Any) -> list[str]:
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InvalidValue("a list of words")
    return words
