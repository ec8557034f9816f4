"""What comes of a check, and what the doctor makes of it."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from typer.testing import CliRunner
from typer.testing import Result as Run

from doctor.check import Check, check
from doctor.examine import Outcome, examine
from doctor.server import Server, session
from doctor.verdict import Failed, NotApplicable, expect
from gateway.cli.main import app

Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]

CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "small",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hi", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
}


async def small(request: web.Request) -> web.Response:
    """Answer chats and nothing else, with errors in a shape of its own."""
    if request.headers.get("authorization") != "Bearer sk-right":
        return web.json_response({"error": {"message": "Who are you?"}}, status=401)
    if request.path == "/v1/models":
        return web.json_response({"object": "list", "data": [{"id": "small"}]})
    body = await request.json() if request.path == "/v1/chat/completions" else None
    if body is None or "tools" in body or "response_format" in body or body.get("logprobs"):
        return web.json_response({"detail": "Not here"}, status=404)
    return web.json_response(CHAT)


@pytest.fixture
async def url(serve: Serve) -> str:
    return await serve(small)


@check("C0.0", "chat")
async def holds(server: Server) -> None:
    await server.chat()


@check("C0.0", "chat")
async def breaks(server: Server) -> None:
    expect(False, "it is otherwise")


@check("C0.0", "chat", extra=True)
async def lacks(server: Server) -> None:
    raise Failed("it is not there")


@check("C0.0", "tools")
async def needs_tools(server: Server) -> None:
    raise AssertionError("never run")


@check("C0.0", "chat")
async def has_no_subject(server: Server) -> None:
    raise NotApplicable("there is none")


@check("C0.0", "chat")
async def never_ends(server: Server) -> None:
    await asyncio.Event().wait()


@check("C0.0", "chat")
async def reads_what_is_not_there(server: Server) -> None:
    (await server.chat())["usage"]["prompt_tokens"]


@pytest.mark.parametrize(
    ("one", "outcome", "reason"),
    [
        (holds, "passed", ""),
        (breaks, "failed", "it is otherwise"),
        (lacks, "absent", "it is not there"),
        (needs_tools, "not applicable", 'no tools: 404 \'{"detail": "Not here"}\''),
        (has_no_subject, "not applicable", "there is none"),
        (never_ends, "error", "no end within 0.2 s"),
        (reads_what_is_not_there, "failed", "the answer has another shape: KeyError: 'usage'"),
    ],
    ids=lambda value: value.name if isinstance(value, Check) else None,
)
async def test_a_check_comes_to(url: str, one: Check, outcome: Outcome, reason: str) -> None:
    async with session() as connections:
        server = Server(connections, url, "sk-right", "small")
        (result,) = await examine(server, [one], concurrency=1, timeout_s=0.2 if one is never_ends else 20)
    assert (result.outcome, result.reason) == (outcome, reason)


async def doctor(url: str, *arguments: str) -> Run:
    command = ["doctor", "--base-url", url, "--key", "sk-right", *arguments]
    return await asyncio.to_thread(CliRunner().invoke, app, command)


async def test_the_doctor_ends_with_0_when_nothing_failed(url: str) -> None:
    run = await doctor(url, "--model", "small", "--only", "chat/an_answer_has_a_message*")
    assert run.exit_code == 0, run.output
    assert "✓" in run.output
    assert "small: 1 passed" in run.output


async def test_the_doctor_ends_with_1_when_something_failed_and_says_what(url: str) -> None:
    run = await doctor(url, "--only", "C5.3", "--json")
    assert run.exit_code == 1
    (told,) = json.loads(run.output)["small"]
    assert told == {
        "check": "chat/an_answer_tells_usage_tier_and_fingerprint",
        "line": "C5.3",
        "outcome": "failed",
        "reason": "service_tier, system_fingerprint, usage missing",
    }


async def test_the_doctor_compares_models_in_columns(url: str) -> None:
    run = await doctor(url, "--model", "small", "--model", "other", "--only", "C5.3")
    assert "small" in run.output.splitlines()[0]
    assert "other" in run.output.splitlines()[0]
    assert {"small: 1 failed", "other: 1 failed"} <= set(run.output.splitlines())


async def test_the_doctor_sums_families(url: str) -> None:
    run = await doctor(url, "--model", "small", "--only", "C5.2", "--summary")
    rows = {row.split()[0]: row.split()[1:] for row in run.output.splitlines()}
    assert rows["FAMILY"] == ["small"]
    assert rows["logprobs"] == ["1", "of", "1"]


async def test_the_doctor_says_when_the_key_does_not_hold(url: str) -> None:
    run = await doctor(url, "--key", "sk-wrong", "--model", "small")
    assert run.exit_code == 1
    assert "Who are you?" in run.output


async def test_the_doctor_says_when_nobody_answers() -> None:
    run = await doctor("http://127.0.0.1:1", "--model", "small")
    assert run.exit_code == 1
    assert "nothing answers at http://127.0.0.1:1" in run.output


async def test_the_doctor_says_when_no_check_matches(url: str) -> None:
    assert (await doctor(url, "--only", "poetry/*")).exit_code == 2
