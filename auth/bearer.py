"""Reads the ``Authorization`` header."""

from auth.checks import KEY_PREFIX, MAX_SECRET_LENGTH
from auth.errors import Unauthenticated

_MAX_HEADER_LENGTH = MAX_SECRET_LENGTH + len("Bearer ")
_SCHEME = b"bearer "
_PREFIX = KEY_PREFIX.encode()


def bearer_token(authorization: str | bytes | None) -> bytes:
    """Return the secret in ``Bearer sk-...`` (RFC 6750; the scheme's case does not matter).

    Raises:
        Unauthenticated: there is no header, or it is too long, not ASCII, of another scheme or of another form.
    """
    if authorization is None:
        raise Unauthenticated(missing=True)
    if len(authorization) > _MAX_HEADER_LENGTH or not authorization.isascii():
        raise Unauthenticated(missing=False)
    header = authorization.encode() if isinstance(authorization, str) else authorization
    secret = header[len(_SCHEME) :].strip(b" ")
    if header[: len(_SCHEME)].lower() != _SCHEME or not secret.startswith(_PREFIX):
        raise Unauthenticated(missing=False)
    return secret
