import gc
import weakref
from collections.abc import Iterator

import pytest
from starlette.types import Message, Receive, Scope, Send

from gateway.http.envelope import Envelope
from gateway.http.exchange import Response


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


async def no_body() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def test_what_an_exchange_held_is_gone_with_it(no_collector: None) -> None:
    ways_back: list[weakref.ref[Response]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        ways_back.append(weakref.ref(Response.of(scope)))
        await Response.of(scope).json(200, b"{}")

    scope: Scope = {"type": "http", "method": "GET", "headers": []}
    sent: list[tuple[Scope, str]] = []

    async def send(message: Message) -> None:
        sent.append((scope, message["type"]))  # as servers do: what sends knows the scope

    await Envelope(app)(scope, no_body, send)
    assert [kind for _, kind in sent] == ["http.response.start", "http.response.body"]
    assert ways_back[0]() is None
