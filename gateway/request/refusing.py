"""Requests that are not let in: they are counted and bounded by key, where those that are have a row of the ledger."""

from auth.access import Access
from auth.keys import Key
from auth.ledger_row import LedgerRow
from auth.refusals import Refusal
from gateway.answers.engine_errors import UpstreamLimited
from gateway.http import errors
from gateway.request.metrics import Metrics


class RefusedTooOften(errors.ApiError):
    """The key's last requests were refused, one after another, and this one was not looked at."""

    def __init__(self, wait_s: float) -> None:
        message = (
            "Too many requests of this key were refused within a minute, so this one was not looked at."
            " Their errors say what to change."
        )
        headers = errors.come_back(max(_PATIENCE_S, wait_s))
        super().__init__(429, message, type="requests", code="too_many_refusals", headers=headers)


_PATIENCE_S = 1.0
"""When to ask again at the earliest, though there may be room for one request before."""


def hear(access: Access, key: Key) -> None:
    """Let a request go on, whose body is not read yet.

    Raises:
        ApiError: 429, when the key has been refused too often of late.
    """
    if wait_s := access.refusal_limit.wait_s(key.id):
        raise RefusedTooOften(wait_s)


def remember(access: Access, key_id: str, error: BaseException | None) -> None:
    """Note how a request ended that somebody waited for: what was wrong with it counts, what is wrong with us not."""
    if not isinstance(error, errors.ApiError) or isinstance(error, RefusedTooOften | UpstreamLimited):
        return
    if error.status < 500:
        access.refusal_limit.refused(key_id)


def count(access: Access, metrics: Metrics, row: LedgerRow) -> None:
    """Count a request that was not let in, by what its row would have said."""
    model, code = metrics.known(row.model_asked), row.error_code or ""
    access.refusals.count(Refusal(row.key_id, row.project_id, model, row.status, code))
    metrics.refused(model, code or str(row.status))
