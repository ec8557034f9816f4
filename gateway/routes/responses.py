"""``/v1/responses``: as in OpenAI's API reference."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal, NoReturn

import orjson
from fastapi import APIRouter, Query, Security
from fastapi.routing import APIRoute
from pydantic import ConfigDict
from starlette.types import Receive, Scope, Send

from auth.keys import INFERENCE, Key, may_use
from gateway import paths
from gateway.endpoints.call import Call
from gateway.endpoints.closed import without_unknown
from gateway.endpoints.responses.body import ResponseBody
from gateway.endpoints.responses.turn import Turn
from gateway.http import errors
from gateway.http.body import ClientGone, read_json
from gateway.http.exchange import Response
from gateway.http.outage import database_needed
from gateway.request.identify import identify
from gateway.request.life import answer
from gateway.request.refusing import hear
from gateway.request.services import Services
from gateway.request.validity import while_valid
from gateway.responses.background import Background
from gateway.responses.begin import begin
from gateway.responses.respond import respond
from gateway.routes.admin.guard import BEARER, guarded
from gateway.routes.admin.problems import NOT_FOUND, PROBLEMS
from gateway.routes.generating import tell_dropped
from gateway.routes.objects import After, Asker, Deleted, Item, ItemList, ObjectId
from gateway.routes.plain import PlainRoute
from objects.errors import NotInBackground
from objects.response_runs import cancel
from objects.responses import delete_response, read_response

MAX_PAGE = 100


class InputItem(Item):
    """An item of a conversation."""

    model_config = ConfigDict(extra="allow")


class ResponseObject(Item):
    """A response, as it was answered."""

    model_config = ConfigDict(extra="allow")

    object: Literal["response"] = "response"
    status: str


def create_route(services: Services, background: Background) -> APIRoute:
    """Return the route that models answer."""

    async def create_response(body: ResponseBody) -> dict[str, Any]:
        raise NotImplementedError("describes the route; the plain endpoint answers it")

    summary = "Answer with a response, whole, as a stream, or in the background"
    endpoint = _Create(services, background)
    return PlainRoute(paths.RESPONSES, endpoint, create_response, tags=["responses"], summary=summary)


class _Create:
    """The plain ASGI endpoint."""

    path = paths.RESPONSES

    def __init__(self, services: Services, background: Background) -> None:
        self._services = services
        self._background = background

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        del send  # the envelope's own is richer
        response = Response.of(scope)
        services = self._services
        key = identify(services, scope)
        bounds = services.settings.bounds
        try:
            hear(services.access, key)
            async with while_valid(services.access, key):
                payload = await read_json(scope, receive, bounds)
            if services.settings.unknown_fields == "drop":
                payload, dropped = without_unknown(ResponseBody, payload)
                tell_dropped(response, dropped)
            turn, call = await begin(payload, key, services.access.store, services.settings.responses, bounds)
        except (errors.ApiError, ClientGone) as refusal:
            await answer(services, key, partial(_refuse, refusal), response)  # which counts it
            return
        if turn.body["background"]:
            await self._start(key, turn, call, response)
        else:
            await respond(services, key, turn, call, response)

    async def _start(self, key: Key, turn: Turn, call: Call, response: Response) -> None:
        models = self._services.models
        asked = models.asked_for(call.model)
        models.candidates(asked, partial(may_use, key), call.path)
        turn.body["model"] = asked

        async def read() -> Call:
            return call

        queued = orjson.dumps(turn.body)
        answering = partial(answer, self._services, key, read)
        with database_needed():
            await self._background.start(turn, answering, response.exchange.request_id)
        await response.json(200, queued)


async def _refuse(refusal: Exception) -> NoReturn:
    raise refusal


def responses_router(services: Services, background: Background) -> APIRouter:
    """Return the routes of responses that are there."""
    router = APIRouter(
        prefix=paths.RESPONSES,
        tags=["responses"],
        route_class=guarded(services, INFERENCE),
        responses={**PROBLEMS, **NOT_FOUND},
        dependencies=[Security(BEARER)],
    )
    store = services.access.store

    @router.get("/{response_id}", summary="Show a response")
    async def show(key: Asker, response_id: ObjectId, stream: bool = False) -> ResponseObject:
        if stream:
            raise errors.unsupported_parameter("stream", "A response that is there is shown whole.")
        return ResponseObject(**(await read_response(store, key.project, response_id)).body)

    @router.delete("/{response_id}", summary="Delete a response")
    async def delete(key: Asker, response_id: ObjectId) -> Deleted:
        await delete_response(store, key.project, response_id)
        background.stop(response_id)
        return Deleted(id=response_id, object="response")

    @router.post("/{response_id}/cancel", summary="Cancel a response that runs in the background")
    async def cancel_run(key: Asker, response_id: ObjectId) -> ResponseObject:
        try:
            response = await cancel(store, key.project, response_id)
        except NotInBackground:
            message = "Only a response that was asked for with 'background' can be cancelled."
            raise errors.invalid_value("response_id", message) from None
        background.stop(response_id)
        return ResponseObject(**response.body)

    @router.get("/{response_id}/input_items", summary="List what a response answers")
    async def input_items(
        key: Asker,
        response_id: ObjectId,
        after: After = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 20,
        order: Literal["asc", "desc"] = "desc",
    ) -> ItemList[InputItem]:
        items = (await read_response(store, key.project, response_id)).input
        found = _after(items if order == "asc" else items[::-1], after)
        return ItemList[InputItem].of(found[: limit + 1], limit, lambda item: InputItem(**item))

    return router


def _after(items: Sequence[dict[str, Any]], after: str | None) -> Sequence[dict[str, Any]]:
    if after is None:
        return items
    ids = [item["id"] for item in items]
    if after not in ids:
        raise errors.invalid_value("after", "'after' must be the id of one of the items.")
    return items[ids.index(after) + 1 :]
