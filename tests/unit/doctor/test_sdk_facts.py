"""What the openai SDK does with what it receives: the facts that the contract's first part is built on (WIRE.md C1).

An SDK that behaves differently breaks a test here before it surprises a user.
"""

import json
from collections.abc import AsyncIterator

import openai
import pytest
from openai import AsyncOpenAI

from tests.scripted import Scripted

ERROR = {"message": "No room.", "type": "requests", "param": "n", "code": "rate_limit_exceeded"}
AT_ONCE = {"retry-after-ms": "1"}
CHUNK = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}'
)
DONE = b"data: [DONE]\n\n"


@pytest.fixture
async def sdk(scripted: Scripted) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=scripted.url, api_key="sk-x") as client:
        yield client


async def raised(sdk: AsyncOpenAI) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as error:
        await sdk.models.list()
    return error.value


async def streamed(sdk: AsyncOpenAI, scripted: Scripted, body: bytes) -> str:
    scripted.headers, scripted.body = {"content-type": "text/event-stream"}, body
    stream = await sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}], stream=True)
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


async def test_c1_1_it_finds_code_param_type_and_request_id(sdk: AsyncOpenAI, scripted: Scripted) -> None:
    scripted.status, scripted.headers = 400, {"x-request-id": "req_7"}
    scripted.body = json.dumps({"error": ERROR}).encode()
    error = await raised(sdk)
    assert (error.code, error.param, error.type, error.request_id) == ("rate_limit_exceeded", "n", "requests", "req_7")
    assert str(error) == "Error code: 400 - No room."


async def test_c1_1_a_code_that_is_a_number_becomes_text(sdk: AsyncOpenAI, scripted: Scripted) -> None:
    scripted.status, scripted.body = 400, json.dumps({"error": {**ERROR, "code": 400}}).encode()
    assert str((await raised(sdk)).code) == "400"


@pytest.mark.parametrize("body", [b'{"error":"Unauthorized"}', b'{"detail":"Not Found"}', b"<html>503</html>", b"busy"])
async def test_c1_2_from_any_other_shape_it_learns_nothing(sdk: AsyncOpenAI, scripted: Scripted, body: bytes) -> None:
    scripted.status, scripted.body = 401, body
    error = await raised(sdk)
    assert (error.code, error.param, error.type) == (None, None, None)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
async def test_c1_3_it_makes_three_attempts(sdk: AsyncOpenAI, scripted: Scripted, status: int) -> None:
    scripted.status, scripted.headers = status, AT_ONCE
    await raised(sdk)
    assert len(scripted.attempts) == 3


async def test_c1_4_it_waits_as_long_as_it_is_told(sdk: AsyncOpenAI, scripted: Scripted) -> None:
    scripted.status, scripted.headers = 429, {"retry-after-ms": "80"}
    await raised(sdk)
    first, second, third = scripted.attempts
    assert second - first >= 0.08
    assert third - second >= 0.08


async def test_c1_4_it_does_not_wait_longer_than_two_minutes(sdk: AsyncOpenAI, scripted: Scripted) -> None:
    scripted.status, scripted.headers = 429, {"retry-after": "121", "x-should-retry": "true"}
    await raised(sdk)
    assert len(scripted.attempts) == 1


@pytest.mark.parametrize(("status", "should", "attempts"), [(429, "false", 1), (503, "false", 1), (400, "true", 3)])
async def test_c1_5_x_should_retry_overrides_the_status(
    sdk: AsyncOpenAI, scripted: Scripted, status: int, should: str, attempts: int
) -> None:
    scripted.status, scripted.headers = status, {**AT_ONCE, "x-should-retry": should}
    await raised(sdk)
    assert len(scripted.attempts) == attempts


@pytest.mark.parametrize("status", [402, 413, 499])
async def test_c1_6_it_makes_one_attempt(sdk: AsyncOpenAI, scripted: Scripted, status: int) -> None:
    scripted.status = status
    assert type(await raised(sdk)) is openai.APIStatusError
    assert len(scripted.attempts) == 1


@pytest.mark.parametrize("event", [b"", b"event: error\n"])
async def test_c1_7_an_error_event_is_raised_with_its_code(sdk: AsyncOpenAI, scripted: Scripted, event: bytes) -> None:
    body = CHUNK + b"\n\n" + event + b"data: " + json.dumps({"error": ERROR}).encode() + b"\n\n" + DONE
    with pytest.raises(openai.APIError) as error:
        await streamed(sdk, scripted, body)
    assert error.value.code == "rate_limit_exceeded"
    assert len(scripted.attempts) == 1


async def test_c1_8_comments_and_crlf_are_no_content(sdk: AsyncOpenAI, scripted: Scripted) -> None:
    body = (b": keep-alive\n\n" + CHUNK + b"\n\n" + DONE).replace(b"\n", b"\r\n")
    assert await streamed(sdk, scripted, body) == "Hi"


async def test_c1_9_an_empty_event_breaks_its_parser(sdk: AsyncOpenAI, scripted: Scripted) -> None:
    with pytest.raises(json.JSONDecodeError):
        await streamed(sdk, scripted, b"data:\n\n" + CHUNK + b"\n\n" + DONE)


async def test_c1_10_a_stream_that_ends_early_passes_for_a_success(sdk: AsyncOpenAI, scripted: Scripted) -> None:
    assert await streamed(sdk, scripted, CHUNK + b"\n\n") == "Hi"


async def test_c1_11_what_follows_done_is_not_read(sdk: AsyncOpenAI, scripted: Scripted) -> None:
    assert await streamed(sdk, scripted, CHUNK + b"\n\n" + DONE + CHUNK + b"\n\n") == "Hi"
