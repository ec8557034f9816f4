"""From bytes to a JSON object, within bounds."""

import asyncio

import pytest
from starlette.types import Message, Receive

from gateway.config.settings import Bounds
from gateway.http.body import ClientGone, parse_object, read_json
from gateway.http.errors import ApiError

BOUNDS = Bounds(max_body_bytes=1024, max_json_depth=8, body_timeout_s=0.05)


def client(*messages: Message) -> Receive:
    left = list(messages)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    return receive


def part(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def scope(**headers: str) -> dict[str, object]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"type": "http", "headers": [(name.encode(), value.encode()) for name, value in named.items()]}


async def test_a_body_in_parts_is_read_whole() -> None:
    assert await read_json(scope(), client(part(b'{"a":', more=True), part(b"1}")), BOUNDS) == {"a": 1}


async def test_an_announced_body_over_the_bound_is_refused_unread() -> None:
    with pytest.raises(ApiError) as refused:
        await read_json(scope(content_length="2000"), client(), BOUNDS)
    assert (refused.value.status, refused.value.code) == (413, "request_too_large")


async def test_an_unannounced_body_is_refused_as_soon_as_it_passes_the_bound() -> None:
    with pytest.raises(ApiError) as refused:
        await read_json(scope(), client(part(b"x" * 600, more=True), part(b"x" * 600, more=True)), BOUNDS)
    assert refused.value.status == 413


async def test_a_body_that_never_ends_is_given_up() -> None:
    with pytest.raises(ApiError) as refused:
        await read_json(scope(), client(part(b"{", more=True)), BOUNDS)
    assert refused.value.status == 400


async def test_a_client_that_leaves_while_it_sends_gets_no_answer() -> None:
    with pytest.raises(ClientGone):
        await read_json(scope(), client(part(b"{", more=True), {"type": "http.disconnect"}), BOUNDS)


async def test_other_media_types_are_refused() -> None:
    with pytest.raises(ApiError) as refused:
        await read_json(scope(content_type="text/plain"), client(part(b"{}")), BOUNDS)
    assert refused.value.status == 415


def test_a_byte_order_mark_before_a_body_is_passed_over() -> None:
    assert parse_object(b'\xef\xbb\xbf{"a":1}', 8) == {"a": 1}


@pytest.mark.parametrize("raw", [b"", b"{", b"nope", b'{"a":NaN}', b'{"a":"\xff"}', b"[" * 10_000 + b"]" * 10_000])
def test_what_does_not_parse_is_invalid_json(raw: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        parse_object(raw, 8)
    assert (refused.value.status, refused.value.code) == (400, "invalid_json")


@pytest.mark.parametrize("raw", [b"[]", b"1", b'"text"', b"null"])
def test_json_that_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        parse_object(raw, 8)
    assert refused.value.code == "invalid_value"


def test_nesting_is_bounded() -> None:
    shallow, deep = b'{"a":' + b"[" * 7 + b"]" * 7 + b"}", b'{"a":' + b"[" * 9 + b"]" * 9 + b"}"
    assert parse_object(shallow, 8)
    with pytest.raises(ApiError, match="nested deeper"):
        parse_object(deep, 8)


def test_a_wide_body_is_not_a_deep_one() -> None:
    assert parse_object(b'{"a":[' + b"{}," * 100 + b"{}]}", 8)
