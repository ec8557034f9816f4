"""The fields of the admin API: each is checked where it is declared, so that an error names it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from fastapi import Header, Path
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from auth.checks import check_models, check_name, check_scopes
from auth.limits import MAX_LIMITS, Limit, Of, Per, parse_limits
from auth.tables import NAME_LENGTH
from gateway.http import errors

_YEAR_10000 = 253_402_300_800
_MAX_VERSION = 2**53


class Sent(BaseModel):
    """The body of a request: nothing unknown, nothing converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


class LimitObject(Sent):
    """One bound on what may be used."""

    of: Of = Field(description="What is counted; `cost` is money by the models' prices.")
    per: Per | None = Field(
        default=None, description="A minute slides; a day and a month are UTC's. `null` for `concurrency` alone."
    )
    amount: float = Field(description="How much is allowed; 0 allows nothing.")
    model: str = Field(default="*", description="A glob; all the models that it matches are counted together.")

    @classmethod
    def of_limit(cls, limit: Limit) -> Self:
        """Return the limit as the API shows it."""
        return cls(of=limit.of, per=limit.per, amount=limit.amount, model=limit.model)


def _checked(check: Callable[[Any], Any]) -> AfterValidator:
    def checked(value: Any) -> Any:
        check(value)
        return value

    return AfterValidator(checked)


def limits_of(sent: list[LimitObject]) -> tuple[Limit, ...]:
    """Return what the objects stand for.

    Raises:
        InvalidValue: see ``parse_limits``.
    """
    return parse_limits(limit.model_dump() for limit in sent)


Name = Annotated[str, _checked(check_name)]
Scopes = Annotated[list[Literal["inference", "admin", "read-usage", "metrics"]], _checked(check_scopes)]
Models = Annotated[list[str], _checked(check_models)]
Limits = Annotated[list[LimitObject], Field(max_length=MAX_LIMITS), _checked(limits_of)]
Version = Annotated[int, Field(ge=1, le=_MAX_VERSION)]
Moment = Annotated[float, Field(gt=0, lt=_YEAR_10000)]
"""Seconds since the epoch."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=NAME_LENGTH, pattern=r"^[^\x00-\x1f]+$")]
"""An id, a name, or what is left of one."""

IdOrName = Annotated[Text, Path(alias="id", description="The id, or the name of one in use.")]


class Change(Sent):
    """What to change; what is left out stays."""

    limits: Limits = Field(default_factory=list)
    version: Version | None = Field(default=None, description="The version that the change was decided on.")

    def fields(self) -> dict[str, Any]:
        """Return what is to be changed."""
        given = self.model_dump(exclude_unset=True, exclude={"version", "limits"})
        return given | ({"limits": limits_of(self.limits)} if "limits" in self.model_fields_set else {})


def _seconds(written: Any) -> float:
    try:
        moment = _DATETIME.validate_python(written)
    except ValidationError:
        raise ValueError("a time is ISO 8601, or seconds since the epoch") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


_DATETIME = TypeAdapter(datetime)

Time = Annotated[float, BeforeValidator(_seconds, json_schema_input_type=datetime)]
"""Seconds since the epoch; written as such or in ISO 8601, in UTC unless it says otherwise."""


def expected_version(version: int | None, if_match: str | None) -> int | None:
    """Return the version that a change was decided on, from its body or its ``If-Match`` header.

    Raises:
        ApiError: 400, when the header holds no version, or another than the body.
    """
    if if_match is None:
        return version
    quoted = if_match.strip().removeprefix("W/").strip('"')
    if not (quoted.isascii() and quoted.isdigit() and len(quoted) < 16) or version not in (None, int(quoted)):
        raise errors.invalid_value("If-Match", "If-Match: the version in quotes, and no other than the body's.")
    return int(quoted)


IfMatch = Annotated[str | None, Header(description='The version that the change was decided on, as `"3"`.')]


def seconds(moment: float | None) -> int | None:
    """Return a time as the API shows it, in whole seconds since the epoch."""
    return None if moment is None else int(moment)
