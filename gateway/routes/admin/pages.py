"""Lists, a page at a time, as OpenAI's lists are."""

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, Literal, Self, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from gateway.routes.admin.fields import Text

MAX_PAGE = 100

After = Annotated[Text | None, Query(description="Go on after this: the `last_id` of the page before.")]
PageSize = Annotated[int, Query(ge=1, le=MAX_PAGE, description="How many at most.")]


class Listed(BaseModel):
    """What stands in lists."""

    id: str | int


Item = TypeVar("Item", bound=Listed)
Record = TypeVar("Record")


class Page(BaseModel, Generic[Item]):
    """Some items of a list."""

    object: Literal["list"] = "list"
    data: list[Item]
    first_id: str | None = Field(description="The id of the first item here.")
    last_id: str | None = Field(description="The id of the last item here: the next page's `after`.")
    has_more: bool

    @classmethod
    def of(cls, found: Sequence[Record], size: int, shown: Callable[[Record], Item]) -> Self:
        """Return a page of ``size`` from one record more than it holds, if there are as many."""
        data = [shown(record) for record in found[:size]]
        ids = [str(item.id) for item in data[:1] + data[-1:]]
        first_id, last_id = ids if ids else (None, None)
        return cls(data=data, first_id=first_id, last_id=last_id, has_more=len(found) > size)
