"""A gRPC call becomes a request to an ASGI app, which lives no longer than the call."""

import asyncio
import contextlib

import orjson
import pytest
from starlette.types import Message, Receive, Scope, Send

from gateway.grpc.call import chat_body, chat_scope, messages_of
from gateway.grpc.chat_pb2 import ChatMessage, ChatRequest
from gateway.http.client_address import client_address

REQUEST = ChatRequest(messages=[ChatMessage(role="user", content="hello")])
PEER = "ipv4:192.0.2.7:50000"
START: Message = {"type": "http.response.start", "status": 200, "headers": []}


def authorizations(*metadata: tuple[str, str]) -> list[bytes]:
    return [value for name, value in chat_scope(metadata, PEER)["headers"] if name == b"authorization"]


def test_the_key_comes_as_over_http_or_by_itself() -> None:
    assert authorizations(("authorization", "Bearer sk-1")) == [b"Bearer sk-1"]
    assert authorizations(("x-api-key", "sk-1")) == [b"Bearer sk-1"]


def test_two_keys_stay_two_so_that_they_are_refused() -> None:
    assert authorizations(("authorization", "Bearer sk-1"), ("x-api-key", "sk-2")) == [b"Bearer sk-1", b"Bearer sk-2"]


def test_a_clients_request_ids_are_passed_on_and_nothing_else() -> None:
    metadata = [("x-request-id", "mine"), ("x-client-request-id", "theirs"), ("user-agent", "grpc"), ("a-bin", b"\0")]
    assert chat_scope(metadata, PEER)["headers"] == [
        (b"x-request-id", b"mine"),
        (b"x-client-request-id", b"theirs"),
        (b"content-type", b"application/json"),
    ]


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.7:50000", "192.0.2.7"),
        ("ipv6:%5B2001:db8::1%5D:50000", "2001:db8::1"),
        ("ipv6:%5B::1%5D:50000", "::1"),
        ("unix:/run/socket", ""),
    ],
)
def test_who_has_connected_is_known_as_over_http(peer: str, address: str) -> None:
    assert chat_scope([], peer)["client"][0] == address


def test_what_proxies_say_of_a_client_is_passed_on_in_its_order() -> None:
    scope = chat_scope([("x-forwarded-for", "203.0.113.1"), ("x-forwarded-for", "198.51.100.2")], "ipv4:127.0.0.1:9")
    assert client_address(scope) == "198.51.100.2"


def test_a_stream_asks_for_its_usage_whatever_extra_says() -> None:
    request = ChatRequest()
    request.CopyFrom(REQUEST)
    request.extra.update({"stream": False, "stream_options": {"include_usage": False}, "top_k": 5})
    assert orjson.loads(chat_body(request, stream=True)) == {
        "messages": [{"role": "user", "content": "hello"}],
        "top_k": 5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert orjson.loads(chat_body(REQUEST, stream=False))["stream"] is False


async def test_the_app_reads_the_body_and_its_messages_are_yielded() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked = await receive()
        await send(START)
        await send({"type": "http.response.body", "body": asked["body"]})

    messages = [message async for message in messages_of(app, {}, b"question")]
    assert [message.get("body") for message in messages] == [None, b"question"]


async def test_an_app_that_fails_fails_the_call() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        async for _ in messages_of(app, {}, b""):
            pass


@pytest.fixture
def endless() -> "Endless":
    return Endless()


class Endless:
    """An app that sends for ever, as fast as it is read."""

    def __init__(self) -> None:
        self.sent = 0
        self.ended: BaseException | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            while True:
                await send(START)
                self.sent += 1
        except BaseException as error:
            self.ended = error
            raise


async def test_a_client_that_leaves_cancels_the_app_and_waits_for_its_end(endless: Endless) -> None:
    async with contextlib.aclosing(messages_of(endless, {}, b"")) as messages:
        await anext(messages)
    assert isinstance(endless.ended, asyncio.CancelledError)


async def test_a_client_that_does_not_read_holds_the_app_back(endless: Endless) -> None:
    async with contextlib.aclosing(messages_of(endless, {}, b"")) as messages:
        await anext(messages)
        for _ in range(1000):
            await asyncio.sleep(0)
        assert endless.sent < 50
