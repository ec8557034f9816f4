"""The routes: parse, generate, answer."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from engines.base import error_response
from engines.transformers.answer import ChatShape, CompletionShape, Json, joined
from engines.transformers.body import RequestError, parse
from engines.transformers.choices import Choices
from engines.transformers.generation import Generation, GenerationError
from engines.transformers.request import Body, ChatBody, CompletionBody
from engines.transformers.sequence import Piece

Shape = ChatShape | CompletionShape
DONE = b"data: [DONE]\n\n"
BROKEN = {"message": "The model failed while it answered.", "type": "server_error", "param": None, "code": None}


def application(choices: Choices, generate: Callable[..., Generation]) -> Starlette:
    """Return the engine's app.

    Args:
        choices: turns a request into sequences, and knows the shape of its answer.
        generate: takes sequences into the batch.
    """

    async def chat(request: Request) -> Response:
        body = parse(ChatBody, await request.body())
        sequences, shape = await choices.of_chat(body)
        return await answer(request, body, generate(sequences), shape)

    async def completions(request: Request) -> Response:
        body = parse(CompletionBody, await request.body())
        sequences, shape = await choices.of_completion(body)
        return await answer(request, body, generate(sequences), shape)

    async def models(request: Request) -> Response:
        del request
        entry = {"id": choices.model, "object": "model", "created": started, "owned_by": "raygate"}
        return _json({"object": "list", "data": [entry]})

    async def refused(request: Request, error: Exception) -> Response:
        del request
        assert isinstance(error, RequestError)  # noqa: S101 - registered for it alone
        return error_response(error.status, error.message, code=error.code, param=error.param)

    started = int(time.time())
    return Starlette(
        routes=[
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/completions", completions, methods=["POST"]),
            Route("/v1/models", models),
        ],
        exception_handlers={RequestError: refused},
    )


async def answer(request: Request, body: Body, generation: Generation, shape: Shape) -> Response:
    """Return the generation as a stream or as a whole, as the request wishes."""
    if body.stream:
        with_usage = body.stream_options is not None and body.stream_options.include_usage
        return EventStream(events(generation, shape, with_usage=with_usage))
    try:
        return await unless_gone(request, whole(generation, shape))
    except GenerationError:
        return _json({"error": BROKEN}, status=500)


async def whole(generation: Generation, shape: Shape) -> Response:
    """Wait for every choice; return them together."""
    said: dict[int, list[Piece]] = {choice.index: [] for choice in generation.sequences}
    async with generation:
        async for pieces in generation.pieces():
            for choice, piece in pieces:
                said[choice.index].append(piece)
    return _json(shape.whole(generation.sequences, [joined(pieces) for pieces in said.values()]))


async def events(generation: Generation, shape: Shape, *, with_usage: bool) -> AsyncIterator[bytes]:
    """Yield the stream's events, whole ones, all that are ready at a time."""
    no_usage: Json = {"usage": None} if with_usage else {}
    try:
        async with generation:
            async for pieces in generation.pieces():
                chunks = [chunk for choice, piece in pieces for chunk in shape.chunks(choice, piece)]
                if chunks:
                    yield b"".join(event(chunk | no_usage) for chunk in chunks)
        if with_usage:
            yield event(shape.usage_chunk(generation.sequences))
    except GenerationError:
        yield event({"error": BROKEN})
    yield DONE


def event(data: Json) -> bytes:
    """Return one server-sent event."""
    return b"data: " + orjson.dumps(data) + b"\n\n"


class EventStream(StreamingResponse):
    """A stream whose generator ends with the response, however the response ends."""

    def __init__(self, content: AsyncIterator[bytes]) -> None:
        self._events = content
        super().__init__(content, media_type="text/event-stream", headers={"cache-control": "no-cache"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        async with aclosing(self._events):  # type: ignore[type-var]
            await super().__call__(scope, receive, send)


async def unless_gone(request: Request, work: Awaitable[Response]) -> Response:
    """Return the work's result; end the work when the client leaves or this task is cancelled."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else Response(status_code=499)
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _json(content: Json, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
