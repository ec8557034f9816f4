"""What an ASGI app answers, as a client of gRPC's own library sees it."""

from collections.abc import AsyncIterator, Sequence

import grpc
import orjson
import pytest
from google.rpc.status_pb2 import Status
from ray.serve.grpc_util import RayServegRPCContext
from starlette.types import Receive, Scope, Send

from gateway.answers.relay import KEEP_ALIVE
from gateway.grpc.chat import complete, stream
from gateway.grpc.chat_pb2 import ChatChunk, ChatMessage, ChatRequest, ChatResponse
from gateway.grpc.chat_pb2_grpc import ChatServicer, ChatStub, add_ChatServicer_to_server
from gateway.http import errors
from gateway.http.envelope import Envelope
from gateway.http.exchange import Response

REQUEST = ChatRequest(messages=[ChatMessage(role="user", content="hello")])
DONE = b"data: [DONE]\n\n"


class App:
    """An app that answers with the parts that a test gives it; an error among them is raised in its turn."""

    def __init__(self) -> None:
        self.parts: Sequence[bytes | errors.ApiError] = ()
        self.ended = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = Response.of(scope)
        response.extra.append((b"x-ratelimit-remaining-requests", b"7"))
        for part in self.parts:
            if isinstance(part, errors.ApiError):
                raise part
            if not response.status:
                await response.start(200, [(b"content-type", b"application/json")])
            await response.chunk(part)
        await response.end()
        self.ended = True


class Servicer(ChatServicer):
    """Calls ours as Ray Serve does."""

    def __init__(self, app: App) -> None:
        self._app = Envelope(app)

    async def Complete(self, request: ChatRequest, context: grpc.aio.ServicerContext) -> ChatResponse:  # noqa: N802
        wrapped = RayServegRPCContext(context)
        response = await complete(self._app, request, wrapped)
        wrapped._set_on_grpc_context(context)
        return response

    async def Stream(  # noqa: N802
        self, request: ChatRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[ChatChunk]:
        wrapped = RayServegRPCContext(context)
        async for chunk in stream(self._app, request, wrapped):
            yield chunk
        wrapped._set_on_grpc_context(context)


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
async def chat(app: App) -> AsyncIterator[ChatStub]:
    server = grpc.aio.server()
    add_ChatServicer_to_server(Servicer(app), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield ChatStub(channel)
    await server.stop(None)


def event(content: str) -> bytes:
    return b"data: " + orjson.dumps({"choices": [{"index": 0, "delta": {"content": content}}]}) + b"\n\n"


def contents(chunks: Sequence[ChatChunk]) -> list[str]:
    return [choice.delta.content for chunk in chunks for choice in chunk.choices]


async def test_a_whole_answer_is_one_message(chat: ChatStub, app: App) -> None:
    app.parts = [b'{"id":"x","object":"chat.completion",', b'"model":"m"}']
    answer = await chat.Complete(REQUEST)
    assert (answer.id, answer.model, dict(answer.extra)) == ("x", "m", {})


async def test_headers_come_as_trailing_metadata(chat: ChatStub, app: App) -> None:
    app.parts = [b"{}"]
    call = chat.Complete(REQUEST, metadata=(("x-request-id", "mine-1"),))
    await call
    told = dict(await call.trailing_metadata())
    assert told["x-request-id"] == "mine-1"
    assert told["x-ratelimit-remaining-requests"] == "7"
    assert told["openai-version"] == "2020-10-01"
    assert not {"content-type", "content-length"} & set(told)


async def test_each_event_is_a_chunk_however_events_are_bundled(chat: ChatStub, app: App) -> None:
    app.parts = [KEEP_ALIVE, event("a") + event("b"), event("c"), DONE]
    call = chat.Stream(REQUEST)
    assert contents([chunk async for chunk in call]) == ["a", "b", "c"]
    assert await call.code() is grpc.StatusCode.OK
    assert dict(await call.trailing_metadata())["x-request-id"].startswith("req_")


@pytest.mark.parametrize("method", ["Complete", "Stream"])
async def test_a_refusal_is_a_status_with_the_errors_fields(chat: ChatStub, app: App, method: str) -> None:
    app.parts = [errors.model_not_found()]
    call = getattr(chat, method)(REQUEST)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call.read() if method == "Stream" else await call
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    assert raised.value.details() == errors.model_not_found().message
    told = dict(raised.value.trailing_metadata())
    details = Status.FromString(told["grpc-status-details-bin"])
    assert (details.code, details.message) == (5, raised.value.details())
    assert "x-request-id" in told


async def test_an_error_in_the_middle_ends_the_stream_with_a_status(chat: ChatStub, app: App) -> None:
    app.parts = [event("a"), errors.engine_lost()]
    call = chat.Stream(REQUEST)
    assert contents([await call.read()]) == ["a"]
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call.read()
    assert raised.value.code() is grpc.StatusCode.INTERNAL
    assert raised.value.details() == errors.engine_lost().message


async def test_an_app_that_ends_with_an_error_event_ends_undisturbed(chat: ChatStub, app: App) -> None:
    app.parts = [event("a"), errors.engine_lost().event()]
    with pytest.raises(grpc.aio.AioRpcError):
        [chunk async for chunk in chat.Stream(REQUEST)]
    assert app.ended
