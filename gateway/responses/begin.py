"""From a request to a turn of a conversation."""

import re
from collections.abc import Sequence
from typing import Any

import orjson

from auth.keys import Key
from auth.store import Store
from gateway.config.settings import Bounds, ResponseSettings
from gateway.endpoints.call import Call
from gateway.endpoints.responses.body import call_of, check_response
from gateway.endpoints.responses.items import listed
from gateway.endpoints.responses.turn import Turn, begun
from gateway.http import errors
from gateway.http.outage import database_needed
from objects.errors import NoSuchObject
from objects.responses import RUNNING, StoredResponse, read_conversation

_ID = re.compile(r"resp_[0-9a-f]{1,64}")


async def begin(
    payload: dict[str, Any], key: Key, store: Store, settings: ResponseSettings, bounds: Bounds
) -> tuple[Turn, Call]:
    """Return the response that a request asks for, and the call that makes it.

    Raises:
        ApiError: 400 for a wrong field, or for a response to continue that is not the project's or cannot be
            continued; 503 when the database does not answer.
    """
    body = check_response(payload, bounds)
    before: Sequence[StoredResponse] = ()
    if body.previous_response_id is not None:
        before = await _conversation(store, key.project, body.previous_response_id, settings.max_turns)
    response = begun(payload)
    turn = Turn(response, key, listed(body.input), settings.keep_s, before[-1] if before else None)
    if response["store"] and len(orjson.dumps(turn.input)) > settings.max_bytes:
        reason = f"'input' is larger than the {settings.max_bytes} bytes that can be stored. Set 'store' to false."
        raise errors.invalid_value("input", reason)
    call = call_of(body, payload, turn, before)
    if len(call.prompt.messages) > bounds.max_messages:
        raise errors.invalid_value("input", f"The conversation has more than {bounds.max_messages} items.")
    return turn, call


async def _conversation(store: Store, project: str, response_id: str, max_turns: int) -> Sequence[StoredResponse]:
    if not _ID.fullmatch(response_id):
        raise errors.previous_response_not_found()
    with database_needed():
        try:
            turns = await read_conversation(store, project, response_id)
        except NoSuchObject:
            raise errors.previous_response_not_found() from None
    if turns[-1].status in (*RUNNING, "failed", "cancelled"):
        raise errors.invalid_value("previous_response_id", "Only a response with an answer can be continued.")
    if len(turns) >= max_turns:
        raise errors.invalid_value("previous_response_id", f"The conversation has {max_turns} turns already.")
    return turns
