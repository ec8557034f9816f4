"""What a request is refused with, and how its fields are checked."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

UNSUPPORTED = "unsupported_parameter"


class Refusal(Exception):
    """The request cannot be answered as it is; the message repeats nothing of it.

    Attributes:
        param: the field, as a dotted path.
        code: for programs.
    """

    def __init__(self, message: str, param: str | None, code: str = "invalid_value") -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class Checked(BaseModel):
    """Fields of the API; others are left alone."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


Fields = TypeVar("Fields", bound=Checked)


def checked(fields: type[Fields], given: Any, where: str = "") -> Fields:
    """Return the fields of a JSON object.

    Args:
        fields: what they should be.
        given: the object.
        where: its place in the request, as a dotted path.

    Raises:
        Refusal: naming the first field that is wrong.
    """
    try:
        return fields.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        path = [str(part) for part in first["loc"] if isinstance(part, int) or part.isidentifier()]
        param = ".".join([where, *path] if where else path) or None
        if first["type"] == "missing":
            raise Refusal(f"Missing required parameter: '{param}'.", param, "missing_required_parameter") from None
        raise Refusal(f"Invalid value for '{param}': {first['msg']}.", param) from None
