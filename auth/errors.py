"""What can go wrong in ``auth``::

Unauthenticated            nobody that we know is asking            (401)
AuthError (ValueError)     an operator asked for something impossible
 ├─ InvalidValue           a field that cannot be stored            (400)
 ├─ NotFound               no such key, project, ...                (404)
 ├─ NameTaken              the name (or the secret) is in use       (409)
 ├─ Conflict               changed by somebody else meanwhile       (409)
 └─ UnsupportedDatabase    a database URL that we do not speak
"""


class Unauthenticated(Exception):
    """The request carries no key, or none that is valid now.

    Attributes:
        missing: no ``Authorization`` header at all. Every other reason (unknown, malformed, revoked, disabled,
            expired) looks the same from outside.
    """

    def __init__(self, *, missing: bool) -> None:
        super().__init__("no API key" if missing else "invalid API key")
        self.missing = missing


class AuthError(ValueError):
    """An operator asked for something impossible; the text says what, in words fit for the operator."""


class InvalidValue(AuthError):
    """A field that cannot be stored."""


class NotFound(AuthError):
    """There is no such key or project."""


class NameTaken(AuthError):
    """The name, or the secret, is in use already."""


class Conflict(AuthError):
    """The record has changed since it was read: read it again, then repeat the change."""


class UnsupportedDatabase(AuthError):
    """The database URL is neither SQLite's nor PostgreSQL's."""
