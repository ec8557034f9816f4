"""What an operator may store: each check returns the value as it will be stored, or raises ``InvalidValue``."""

import math
import re
from collections.abc import Iterable

from auth.errors import InvalidValue
from auth.tables import NAME_LENGTH

SCOPES = ("inference", "admin", "read-usage", "metrics")
KEY_PREFIX = "sk-"
MAX_SECRET_LENGTH = 500
_MIN_SECRET_LENGTH = 16
_MAX_GLOBS = 64
MAX_OVERLAP_S = 90 * 86_400
_SECRET = re.compile(r"[\x21-\x7e]+")


def check_name(name: str) -> str:
    """Accept 1 to 128 printable characters: a name is shown in logs and terminals, where control characters lie."""
    if not 1 <= len(name) <= NAME_LENGTH or not name.isprintable() or name != name.strip():
        raise InvalidValue(f"a name has 1 to {NAME_LENGTH} printable characters, with no space at its ends")
    return name


def check_secret(secret: str) -> str:
    """Accept ``sk-`` and printable ASCII, long enough not to be guessed by accident."""
    fits = _MIN_SECRET_LENGTH <= len(secret) <= MAX_SECRET_LENGTH
    if not (fits and secret.startswith(KEY_PREFIX) and _SECRET.fullmatch(secret)):
        raise InvalidValue(
            f"a secret begins with {KEY_PREFIX!r} and has {_MIN_SECRET_LENGTH} to {MAX_SECRET_LENGTH} "
            "visible ASCII characters"
        )
    return secret


def check_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Accept any of ``SCOPES``, at least one."""
    chosen = tuple(dict.fromkeys(scopes))
    if not chosen or not set(chosen) <= set(SCOPES):
        raise InvalidValue(f"scopes are one or more of {', '.join(SCOPES)}")
    return chosen


def check_models(globs: Iterable[str]) -> tuple[str, ...]:
    """Accept up to 64 globs over model names; none at all means that the key may use no model."""
    chosen = tuple(dict.fromkeys(globs))
    if len(chosen) > _MAX_GLOBS or not all(1 <= len(glob) <= NAME_LENGTH and glob.isprintable() for glob in chosen):
        raise InvalidValue(f"models are at most {_MAX_GLOBS} patterns of 1 to {NAME_LENGTH} printable characters")
    return chosen


def check_expiry(expires_at: float | None, *, now: float) -> float | None:
    """Accept no expiry, or one in the future."""
    if expires_at is not None and not (math.isfinite(expires_at) and expires_at > now):
        raise InvalidValue("an expiry is a time in the future, in seconds since the epoch")
    return expires_at


def check_overlap(overlap_s: float) -> float:
    """Accept up to 90 days."""
    if not 0 <= overlap_s <= MAX_OVERLAP_S:
        raise InvalidValue("an overlap is 0 seconds to 90 days")
    return overlap_s
