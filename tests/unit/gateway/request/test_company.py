"""Who waits for a stream to begin."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from starlette.types import Message

from auth.limits import Limit
from gateway.answers.relay import KEEP_ALIVE
from tests.unit.gateway.request.conftest import House, Opened, cancelled

SOON, NEVER = 0.02, 0.0
CHAT = ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]})
ASKED = {
    "chat": CHAT,
    "completions": ("/v1/completions", {"prompt": "hi"}),
    "messages": ("/v1/messages", {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}),
    "responses": ("/v1/responses", {"input": "hi", "store": False}),
}


@dataclass
class Client:
    """Asks for a stream, and takes what comes.

    Attributes:
        has_company: set by the first comment.
    """

    house: House
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    has_company: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, model: str, asked: tuple[str, dict[str, Any]] = CHAT) -> None:
        path, fields = asked
        messages = [{"type": "http.request", "body": orjson.dumps({"model": model, "stream": True, **fields})}]

        async def receive() -> Message:
            return messages.pop() if messages else await asyncio.Future()

        headers = [(b"authorization", f"Bearer {self.house.secret}".encode()), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
        await self.house.app(scope, receive, self._take)

    async def _take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        self.body += message.get("body", b"")
        if KEEP_ALIVE in self.body:
            self.has_company.set()

    @property
    def events(self) -> list[bytes]:
        """What came beside comments."""
        return [event for event in self.body.split(b"\n\n") if event and not event.startswith(b":")]


@pytest.fixture
async def opened(open_house: Opened) -> AsyncIterator[Client]:
    house = await open_house(Limit("requests", "minute", 5), keep_alive_s=SOON)
    client = Client(house)

    async def hold(model: str) -> None:
        await client.has_company.wait()

    house.engines.before = hold
    yield client


async def test_a_client_gets_comments_before_any_engine_has_answered_and_then_the_answer(opened: Client) -> None:
    await opened.ask("free")
    assert opened.status == 200
    assert opened.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert opened.headers["x-ratelimit-remaining-requests"] == "4"
    assert opened.body.startswith(KEEP_ALIVE)
    assert orjson.loads(opened.events[0][6:])["choices"][0]["delta"] == {"content": "yes"}
    assert opened.events[-1] == b"data: [DONE]"


async def test_comments_go_on_as_long_as_the_wait_does(opened: Client) -> None:
    async def hold(model: str) -> None:
        while opened.body.count(KEEP_ALIVE) < 3:
            await asyncio.sleep(SOON)

    opened.house.engines.before = hold
    await opened.ask("free")
    assert opened.body.count(KEEP_ALIVE) >= 3


async def test_the_next_candidate_is_asked_while_comments_go_out(opened: Client) -> None:
    opened.house.engines.failing["free"] = 500
    await opened.ask("saving")
    assert (opened.status, opened.house.engines.asked) == (200, ["free", "paid"])
    assert b'"content":"yes"' in opened.body


@pytest.mark.parametrize("name", ASKED)
async def test_what_fails_then_is_told_as_the_apis_error_event(opened: Client, name: str) -> None:
    opened.house.engines.failing["elsewhere"] = 503
    await opened.ask("elsewhere", ASKED[name])
    assert opened.status == 200
    event, data = {
        "chat": ("", opened.events[0].removeprefix(b"data: ")),
        "completions": ("", opened.events[0].removeprefix(b"data: ")),
        "messages": ("event: error", opened.events[0].partition(b"\ndata: ")[2]),
        "responses": ("event: error", opened.events[0].partition(b"\ndata: ")[2]),
    }[name]
    told = orjson.loads(data)
    assert opened.events[0].decode().startswith(event)
    assert (told if name == "responses" else told["error"])["code"] == "server_is_overloaded"
    assert opened.events[1:] == ([b"data: [DONE]"] if name in {"chat", "completions"} else [])
    [row] = await opened.house.rows()
    assert (row.status, row.error_code, row.completion_tokens) == (200, "server_is_overloaded", 0)


async def test_a_refusal_of_the_engine_that_comes_late_is_an_event_too(opened: Client) -> None:
    opened.house.engines.failing["free"] = 400
    await opened.ask("free")
    assert orjson.loads(opened.events[0].removeprefix(b"data: "))["error"]["type"] == "invalid_request_error"


async def test_a_request_that_takes_too_long_meanwhile_ends_with_the_error(open_house: Opened) -> None:
    house = await open_house(keep_alive_s=SOON, bounds={"request_timeout_s": 0.2})
    house.engines.before = lambda _: asyncio.Event().wait()  # type: ignore[assignment, return-value]
    client = Client(house)
    await client.ask("free")
    assert orjson.loads(client.events[0].removeprefix(b"data: "))["error"]["code"] == "timeout"


async def test_who_leaves_meanwhile_leaves_nothing_behind(opened: Client) -> None:
    opened.house.engines.before = lambda _: asyncio.Event().wait()  # type: ignore[assignment, return-value]
    asking = asyncio.create_task(opened.ask("free"))
    await opened.has_company.wait()
    await cancelled(asking)
    [row] = await opened.house.rows()
    assert row.status == 499
    assert "company" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_an_error_at_once_has_its_status(open_house: Opened) -> None:
    house = await open_house(keep_alive_s=60)
    house.engines.failing["free"] = 503
    client = Client(house)
    await client.ask("free")
    assert (client.status, client.headers["retry-after"]) == (503, "1")


async def test_without_keep_alive_the_status_waits_for_the_answer(open_house: Opened) -> None:
    house = await open_house(keep_alive_s=NEVER)
    client = Client(house)
    house.engines.failing["free"] = 503
    house.engines.before = lambda _: asyncio.sleep(3 * SOON)
    await client.ask("free")
    assert client.status == 503


async def test_a_whole_answer_is_waited_for_in_silence(opened: Client) -> None:
    opened.house.engines.before = lambda _: asyncio.sleep(3 * SOON)
    answered = await opened.house.ask("free")
    assert answered.json()["choices"][0]["message"]["content"] == "yes"
