"""The lines of a batch's output and error files, as OpenAI's API has them."""

from typing import Any

import orjson

from auth.usage import Usage
from objects.batch_progress import Result
from objects.batches import Batch

EXPIRED = ("batch_expired", "This request could not be executed before the completion window expired.")
CANCELLED = ("batch_cancelled", "The batch was cancelled before this request was executed.")
FAILED = ("batch_failed", "The batch failed before this request was executed.")


def request_id(batch: Batch, number: int) -> str:
    """Return the id of a line's request, which its engine, its ledger row and its result carry."""
    return f"{batch.id}_{number}"


def answered(batch: Batch, number: int, custom_id: str, status: int, body: bytes, usage: Usage) -> Result:
    """Return the result of a line that has an answer, be it an error."""
    response = {"status_code": status, "request_id": request_id(batch, number), "body": orjson.Fragment(body)}
    line = _line(batch, number, custom_id, response=response, error=None)
    return Result(number, succeeded=status < 400, line=line, usage=usage)


def unanswered(batch: Batch, number: int, custom_id: str | None, reason: tuple[str, str]) -> str:
    """Return the line of the error file for a line that never ran; ``reason`` is a code and a message."""
    code, message = reason
    return _line(batch, number, custom_id, response=None, error={"code": code, "message": message})


def _line(batch: Batch, number: int, custom_id: str | None, *, response: Any, error: Any) -> str:
    line_id = f"batch_req_{batch.id.removeprefix('batch_')}_{number}"
    return orjson.dumps({"id": line_id, "custom_id": custom_id, "response": response, "error": error}).decode()
