"""A database that is away is a 503, wherever a request cannot do without it."""

import contextlib
from collections.abc import Iterator

from sqlalchemy.exc import SQLAlchemyError

from gateway.http import errors

_NO_DATABASE = "The database does not answer, so nothing can be looked up or changed now. Please retry."


@contextlib.contextmanager
def database_needed() -> Iterator[None]:
    """Turn a database that is away into a 503."""
    try:
        yield
    except (SQLAlchemyError, OSError):
        raise errors.overloaded(_NO_DATABASE) from None
