"""Who is asking: from the ``Authorization`` or ``x-api-key`` header to a key."""

from collections.abc import Sequence

from starlette.types import Scope

from auth.errors import Unauthenticated
from auth.keys import INFERENCE, Key
from gateway.http import errors
from gateway.http.client_address import client_address
from gateway.request.services import Services


def identify(services: Services, scope: Scope, *, needs: Sequence[str] = (INFERENCE,)) -> Key:
    """Return the key that a request carries.

    Args:
        needs: the scopes of which the key must have one.

    Raises:
        ApiError: 401 for no key or one that does not hold, 403 for a key without the scope.
    """
    try:
        key = services.access.identify(_authorization(scope))
    except Unauthenticated as refusal:
        delay_s = 0.0 if refusal.missing else _delay_s(services, scope)
        raise errors.unauthenticated(missing=refusal.missing, delay_s=delay_s) from None
    if not set(needs) & set(key.scopes):
        raise errors.permission_denied(needs)
    return key


def _authorization(scope: Scope) -> bytes | None:
    """Return the credentials: OpenAI's clients have one header, Anthropic's another, and some send both."""
    bearers = [value for name, value in scope["headers"] if name == b"authorization"]
    shown = {*bearers, *(b"Bearer " + value for name, value in scope["headers"] if name == b"x-api-key")}
    if len(shown) > 1 or len(bearers) > 1:  # two proxies could each believe a different one
        raise Unauthenticated(missing=False)
    return shown.pop() if shown else None


def _delay_s(services: Services, scope: Scope) -> float:
    """Return how long whoever shows a wrong key has to wait for the answer."""
    return services.access.slowdown.failed(client_address(scope, services.settings.trusted_proxies))
