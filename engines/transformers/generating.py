"""``/v1/chat/completions`` and ``/v1/completions``: parse, generate, answer."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from engines.transformers.answer import ChatShape, CompletionShape, joined
from engines.transformers.app import BROKEN, Json, json_response, unless_gone
from engines.transformers.body import parse
from engines.transformers.choices import Choices
from engines.transformers.generation import Generation, GenerationError
from engines.transformers.request import Body, ChatBody, CompletionBody
from engines.transformers.sequence import Piece

Shape = ChatShape | CompletionShape
DONE = b"data: [DONE]\n\n"


def generating(choices: Choices, generate: Callable[..., Generation]) -> list[Route]:
    """Return the routes.

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

    return [
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/v1/completions", completions, methods=["POST"]),
    ]


async def answer(request: Request, body: Body, generation: Generation, shape: Shape) -> Response:
    """Return the generation as a stream or as a whole, as the request wishes."""
    if body.stream:
        with_usage = body.stream_options is not None and body.stream_options.include_usage
        return EventStream(events(generation, shape, with_usage=with_usage))
    try:
        return await unless_gone(request, whole(generation, shape))
    except GenerationError:
        return json_response({"error": BROKEN}, status=500)


async def whole(generation: Generation, shape: Shape) -> Response:
    """Wait for every choice; return them together."""
    said: dict[int, list[Piece]] = {choice.index: [] for choice in generation.sequences}
    async with generation:
        async for pieces in generation.pieces():
            for choice, piece in pieces:
                said[choice.index].append(piece)
    return json_response(shape.whole(generation.sequences, [joined(pieces) for pieces in said.values()]))


async def events(generation: Generation, shape: Shape, *, with_usage: bool) -> AsyncIterator[bytes]:
    """Yield the stream's events, whole ones, all that are ready at a time."""
    without_usage = shape.without_usage if with_usage else {}
    try:
        async with generation:
            async for pieces in generation.pieces():
                chunks = [chunk for choice, piece in pieces for chunk in shape.chunks(choice, piece)]
                if chunks:
                    yield b"".join(event(chunk | without_usage) for chunk in chunks)
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
