"""What the routes of stored objects have in common: whose they are, and how their lists come in pages."""

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, Literal, Self, TypeVar

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel, Field, StringConstraints

from auth.keys import Key

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""What any object's id looks like; what looks otherwise is never looked up."""

After = Annotated[Id | None, Query(description="Go on after this: the `last_id` of the page before.")]
ObjectId = Annotated[Id, Path()]


def _key(request: Request) -> Key:
    key: Key = request.state.key
    return key


Asker = Annotated[Key, Depends(_key)]
"""The key that asks; its project owns what it sees."""


class Item(BaseModel):
    """What stands in lists."""

    id: str


_Item = TypeVar("_Item", bound=Item)
_Record = TypeVar("_Record")


class ItemList(BaseModel, Generic[_Item]):
    """A page of a list."""

    object: Literal["list"] = "list"
    data: list[_Item]
    first_id: str | None = Field(description="The id of the first item here.")
    last_id: str | None = Field(description="The id of the last item here: the next page's `after`.")
    has_more: bool

    @classmethod
    def of(cls, found: Sequence[_Record], size: int, shown: Callable[[_Record], _Item]) -> Self:
        """Return a page of ``size`` from one record more than it holds, if there are as many."""
        data = [shown(record) for record in found[:size]]
        ids = [item.id for item in data]
        return cls(
            data=data, first_id=next(iter(ids), None), last_id=next(reversed(ids), None), has_more=len(found) > size
        )


class Deleted(BaseModel):
    """The answer to a deletion."""

    id: str
    object: str
    deleted: Literal[True] = True
