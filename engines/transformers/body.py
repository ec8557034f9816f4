"""What all bodies are made of, and how a request that cannot be answered is refused."""

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

UNSUPPORTED = "unsupported_parameter"

Parsed = TypeVar("Parsed", bound="Strict")


class RequestError(Exception):
    """A request that cannot be answered, and the answer that says so."""

    def __init__(self, message: str, *, code: str | None, param: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.status = status


def only(*harmless: Any) -> AfterValidator:
    """Accept null and values that ask for nothing; any other is a wish that this engine cannot fulfil."""

    def check(value: Any) -> Any:
        if value is not None and value not in harmless:
            raise PydanticCustomError(UNSUPPORTED, "This model does not support it")
        return value

    return AfterValidator(check)


Empty = Annotated[Any, only([])]
Refused = Annotated[Any, only()]


class Strict(BaseModel):
    """A body with no room for unknown names."""

    model_config = ConfigDict(extra="forbid")


def parse(body: type[Parsed], raw: bytes) -> Parsed:
    """Return the request in ``raw``.

    Raises:
        RequestError: naming the first field that is wrong, without repeating what it held.
    """
    try:
        return body.model_validate_json(raw)
    except ValidationError as error:
        raise _explain(error.errors(include_input=False, include_url=False, include_context=False)[0]) from None


def _explain(error: ErrorDetails) -> RequestError:
    # Alternatives of a union, and dictionaries, lengthen the path by what is no field.
    path = error["loc"][:1] if error["loc"][:1] in {("prompt",), ("logit_bias",), ("tool_choice",)} else error["loc"]
    param = ".".join(map(str, path)) or None
    match error["type"]:
        case "json_invalid":
            return RequestError("The body is not valid JSON.", code="invalid_json")
        case "missing":
            return RequestError(
                f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param
            )
        case "extra_forbidden":
            return RequestError(f"Unsupported parameter: '{param}'.", code=UNSUPPORTED, param=param)
        case "unsupported_parameter":
            return RequestError(f"Unsupported parameter: '{param}'. {error['msg']}.", code=UNSUPPORTED, param=param)
        case _:
            return RequestError(f"Invalid value for '{param}': {error['msg']}.", code="invalid_value", param=param)
