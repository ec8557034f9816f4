"""``/admin/v1/keys``: who may ask, for what, and how much."""

from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict, Field

from auth.checks import MAX_OVERLAP_S
from auth.key_changes import rotate_key, update_key
from auth.keys import Key, create_key, list_keys, read_key, revoke_key
from auth.limit_text import warnings_of
from gateway.request.services import Services
from gateway.routes.admin.fields import (
    Change,
    IdOrName,
    IfMatch,
    LimitObject,
    Limits,
    Models,
    Moment,
    Name,
    Scopes,
    Sent,
    Text,
    Version,
    expected_version,
    limits_of,
    seconds,
)
from gateway.routes.admin.guard import Actor
from gateway.routes.admin.pages import After, Listed, Page, PageSize
from gateway.routes.admin.problems import CONFLICT, NOT_FOUND
from gateway.routing.models import ModelTable

_LIMITS: list[Any] = [
    {"of": "requests", "per": "minute", "amount": 60, "model": "*"},
    {"of": "cost", "per": "month", "amount": 10, "model": "smollm2*"},
]
_EXAMPLE: dict[str, Any] = {
    "object": "key",
    "id": "key_0c9f2a4be1d35768",
    "name": "laptop",
    "project": "proj_5a1e0d8c7b6f4932",
    "hint": "sk-Zk3wQ",
    "scopes": ["inference"],
    "models": ["smollm2*"],
    "limits": _LIMITS,
    "created_at": 1_760_000_000,
    "expires_at": None,
    "disabled": False,
    "revoked_at": None,
    "version": 1,
    "warnings": [],
}


class KeyObject(Listed):
    """A key, without its secret."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    object: Literal["key"] = "key"
    id: str
    name: str
    project: str = Field(description="The id of its owner.")
    hint: str = Field(description="How its newest secret begins.")
    scopes: list[str]
    models: list[str] = Field(description="Globs; a model that none matches does not exist for this key.")
    limits: list[LimitObject]
    created_at: int
    expires_at: int | None
    disabled: bool
    revoked_at: int | None
    version: int = Field(description="Rises with each change.")
    warnings: list[str] = Field(description="Limits that bound nothing: no model or alias has such a name.")

    @classmethod
    def of(cls, key: Key, models: ModelTable, **more: Any) -> Self:
        """Return the key as the API shows it; its limits are looked for among the names of ``models``."""
        return cls(
            id=key.id,
            name=key.name,
            project=key.project,
            hint=key.hint,
            scopes=list(key.scopes),
            models=list(key.models),
            limits=[LimitObject.of_limit(limit) for limit in key.limits],
            created_at=int(key.created_at),
            expires_at=seconds(key.expires_at),
            disabled=key.disabled,
            revoked_at=seconds(key.revoked_at),
            version=key.version,
            warnings=warnings_of(key.limits, models.names()),
            **more,
        )


class KeyWithSecret(KeyObject):
    """A key with a new secret, which cannot be had again."""

    model_config = ConfigDict(json_schema_extra={"example": {**_EXAMPLE, "secret": "sk-..."}})

    secret: str = Field(description="Shown this once.")


class NewKey(Sent):
    """A key to be made."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"name": "laptop", "project": "research", "models": ["smollm2*"], "limits": _LIMITS}
        }
    )

    name: Name = Field(description="Unique among the project's keys in use.")
    project: Text | None = Field(default=None, description="The owner's id or name; `null` is the project `default`.")
    scopes: Scopes = Field(default=["inference"])
    models: Models = Field(default=["*"])
    limits: Limits = Field(default_factory=list)
    expires_at: Moment | None = None


class KeyChange(Change):
    """What to change of a key; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"example": {"limits": _LIMITS, "disabled": False, "version": 1}})

    name: Name = Field(default_factory=str)
    scopes: Scopes = Field(default_factory=list)
    models: Models = Field(default_factory=list)
    expires_at: Moment | None = Field(default=None, description="`null` takes the expiry away.")
    disabled: bool = Field(default_factory=bool)


class Rotation(Sent):
    """How a key gets its new secret."""

    model_config = ConfigDict(json_schema_extra={"example": {"overlap_s": 86_400}})

    overlap_s: float = Field(default=0, ge=0, le=MAX_OVERLAP_S, description="Seconds for which the older ones work on.")
    version: Version | None = Field(default=None, description="The version that the change was decided on.")


OfProject = Annotated[Text | None, Query(description="Only the keys of this project: its id.")]


def add_keys(router: APIRouter, services: Services) -> None:
    """Add the routes."""
    store = services.access.store

    @router.post("/keys", status_code=201, responses=NOT_FOUND | CONFLICT, summary="Make a key, and see its secret")
    async def create(body: NewKey, actor: Actor, response: Response) -> KeyWithSecret:
        key, secret = await create_key(
            store,
            name=body.name,
            project=body.project,
            scopes=body.scopes,
            models=body.models,
            limits=limits_of(body.limits),
            expires_at=body.expires_at,
            actor=actor,
        )
        await changed(key, response)
        return KeyWithSecret.of(key, services.models, secret=secret)

    @router.get("/keys", summary="List the keys, revoked ones too")
    async def list_(after: After = None, limit: PageSize = 20, project: OfProject = None) -> Page[KeyObject]:
        found = await list_keys(store, after=after or "", limit=limit + 1, project=project)
        return Page[KeyObject].of(found, limit, shown)

    @router.get("/keys/{id}", responses=NOT_FOUND, summary="Show a key")
    async def show(id_or_name: IdOrName, response: Response) -> KeyObject:
        return tagged(await read_key(store, id_or_name), response)

    @router.patch("/keys/{id}", responses=NOT_FOUND | CONFLICT, summary="Change a key")
    async def change(
        id_or_name: IdOrName, body: KeyChange, actor: Actor, response: Response, if_match: IfMatch = None
    ) -> KeyObject:
        version = expected_version(body.version, if_match)
        key = await update_key(store, id_or_name, version=version, actor=actor, **body.fields())
        return await changed(key, response)

    @router.post("/keys/{id}/rotate", responses=NOT_FOUND | CONFLICT, summary="Give a key a new secret, and see it")
    async def rotate(
        id_or_name: IdOrName,
        actor: Actor,
        response: Response,
        body: Rotation | None = None,
        if_match: IfMatch = None,
    ) -> KeyWithSecret:
        rotation = body or Rotation()
        version = expected_version(rotation.version, if_match)
        key, secret = await rotate_key(store, id_or_name, overlap_s=rotation.overlap_s, version=version, actor=actor)
        await changed(key, response)
        return KeyWithSecret.of(key, services.models, secret=secret)

    @router.post("/keys/{id}/revoke", responses=NOT_FOUND, summary="Stop a key for ever")
    async def revoke(id_or_name: IdOrName, actor: Actor, response: Response) -> KeyObject:
        return await changed(await revoke_key(store, id_or_name, actor=actor), response)

    async def changed(key: Key, response: Response) -> KeyObject:
        await services.access.keys.refresh()  # the other replicas look by themselves within a second
        return tagged(key, response)

    def tagged(key: Key, response: Response) -> KeyObject:
        response.headers["etag"] = f'"{key.version}"'
        return shown(key)

    def shown(key: Key) -> KeyObject:
        return KeyObject.of(key, services.models)
