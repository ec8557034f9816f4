"""How the OpenAPI schema describes what the admin API answers instead of success."""

from typing import Any

from pydantic import BaseModel


class ErrorFields(BaseModel):
    """What went wrong, as in every error of this gateway."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """The body of every answer of 400 and above."""

    error: ErrorFields


def _problem(description: str, code: str | None, message: str, param: str | None = None) -> dict[str, Any]:
    fields = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    content = {"application/json": {"example": {"error": fields}}}
    return {"model": ErrorBody, "description": description, "content": content}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: _problem(
        "A field is missing, unknown or impossible; `param` names it.",
        "invalid_value",
        "Invalid value for 'limits': two limits bound the same thing.",
        "limits",
    ),
    401: _problem(
        "No key, or one that does not hold.",
        None,
        "You didn't provide an API key.",
    ),
    403: _problem("The key lacks the scope.", "permission_denied", "This API key does not have the scope 'admin'."),
    "default": {"model": ErrorBody, "description": "Any other error has the same body."},
}

NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: _problem("There is no such thing.", "not_found", "There is no key or project of that id or name.")
}

CONFLICT: dict[int | str, dict[str, Any]] = {
    409: _problem(
        "The name is in use, or somebody else was faster; not to be retried as it is.",
        "conflict",
        "It has been changed by somebody else: read it again, then repeat the change.",
    )
}
