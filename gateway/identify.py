"""Who is asking: from the Authorization header to a key."""

from collections.abc import Sequence

from starlette.types import Scope

from auth.errors import Unauthenticated
from auth.keys import INFERENCE, Key
from gateway import errors
from gateway.services import Services


def identify(services: Services, scope: Scope, *, needs: Sequence[str] = (INFERENCE,)) -> Key:
    """Return the key that a request carries.

    Args:
        needs: the scopes of which the key must have one.

    Raises:
        ApiError: 401 for no key or one that does not hold, 403 for a key without the scope.
    """
    shown = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(shown) > 1:
        # Two proxies could each believe a different one.
        raise errors.unauthenticated(missing=False)
    try:
        key = services.access.keys.identify(shown[0] if shown else None)
    except Unauthenticated as refusal:
        raise errors.unauthenticated(missing=refusal.missing) from None
    if not set(needs) & set(key.scopes):
        raise errors.permission_denied(needs)
    return key
