"""What all bodies are made of, and how a request that cannot be answered is refused."""

from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

UNSUPPORTED = "unsupported_parameter"

UNIONS = ("prompt", "input", "tool_choice", "logit_bias")
"""Fields below which an error's path goes on with what is no field: a form that was tried, or a key."""

Parsed = TypeVar("Parsed", bound="Strict")


class RequestError(Exception):
    """A request that cannot be answered, and the answer that says so."""

    def __init__(self, message: str, *, code: str | None, param: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.status = status


def check_model(asked: str | None, served: str) -> None:
    """Refuse a request for another model than the one that is served.

    Raises:
        RequestError: 404.
    """
    if asked is not None and asked != served:
        raise RequestError("The model does not exist.", status=404, code="model_not_found", param="model")


def check_tokens(tokens: Iterable[int], vocabulary_size: int, param: str) -> None:
    """Refuse token ids that the model does not know.

    Raises:
        RequestError: when there is one.
    """
    if not all(0 <= token < vocabulary_size for token in tokens):
        raise RequestError("A token id is outside the vocabulary.", code="invalid_value", param=param)


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
    field = error["loc"][0] if error["loc"] else None
    param = ".".join(map(str, [field] if field in UNIONS else error["loc"])) or None
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
        case _ if field in UNIONS:
            return RequestError(
                f"Invalid value for '{param}': it does not have a form that this field takes.",
                code="invalid_value",
                param=param,
            )
        case _:
            return RequestError(f"Invalid value for '{param}': {error['msg']}.", code="invalid_value", param=param)
