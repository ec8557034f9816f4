"""Streams of named events of other servers: Anthropic's messages and OpenAI's responses."""

import json

import httpx
import pytest

from tests.unit.engines.upstream.conftest import ASKED, Elsewhere
from tests.unit.engines.zoo import MESSAGE, RESPONSE


async def test_a_stream_of_named_events_that_fails_ends_with_a_named_error(
    client: httpx.AsyncClient, elsewhere: Elsewhere
) -> None:
    elsewhere.body = MESSAGE[0] + b"data: <html>sk-SECRET\n\n"
    answer = await client.post("/messages", json={**ASKED, "stream": True})
    assert answer.text.split("\n\n")[1].startswith("event: error\ndata: ")
    assert "SECRET" not in answer.text


@pytest.mark.parametrize(("path", "told"), [("/messages", MESSAGE), ("/responses", RESPONSE)])
async def test_named_events_tell_our_name_of_the_model_and_nothing_behind_the_last(
    client: httpx.AsyncClient, elsewhere: Elsewhere, path: str, told: list[bytes]
) -> None:
    elsewhere.body = b': hello\n\nevent: ping\ndata: {"type": "ping"}\n\n' + b"".join(told) + b"data: [DONE]\n\n"
    answer = await client.post(path, json={**ASKED, "stream": True})
    *blocks, rest = answer.text.split("\n\n")
    named = [block.removeprefix("event: ").partition("\ndata: ") for block in blocks]
    assert (answer.status_code, len(named), rest) == (200, len(told), "")
    assert all(json.loads(data)["type"] == name for name, _, data in named)
    assert "theirs" not in answer.text


@pytest.mark.parametrize("path", ["/messages", "/responses"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>sk-SECRET</html>",
        b'event: error\ndata: {"message": "sk-SECRET"}\n\n',
        b'data: {"type": "response.failed", "response": {"error": {"message": "sk-SECRET"}}}\n\n',
        b'data: {"type": "ping"}\n\ndata: {"error": {"message": "sk-SECRET"}}\n\n',
    ],
)
async def test_named_events_that_fail_before_they_begin_have_the_status_of_a_failure(
    client: httpx.AsyncClient, elsewhere: Elsewhere, path: str, body: bytes
) -> None:
    elsewhere.body = body
    answer = await client.post(path, json={**ASKED, "stream": True})
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_failed")
    assert "SECRET" not in answer.text


@pytest.mark.parametrize(("path", "told"), [("/messages", MESSAGE), ("/responses", RESPONSE)])
async def test_named_events_that_end_without_their_last_are_a_failure(
    client: httpx.AsyncClient, elsewhere: Elsewhere, path: str, told: list[bytes]
) -> None:
    elsewhere.body = b"".join(told[:-1])
    answer = await client.post(path, json={**ASKED, "stream": True})
    assert answer.text.split("\n\n")[-2].startswith("event: error\ndata: ")
