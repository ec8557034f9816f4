"""Headers that clients, proxies and people who ask for help rely on."""

import re

from doctor.check import check
from doctor.reply import Reply
from doctor.server import CHAT, Server
from doctor.verdict import expect, expect_equal

_GO_DURATION = re.compile(r"(\d+h)?(\d+m)?(\d+(\.\d+)?(s|ms))?")


async def _each(server: Server) -> list[Reply]:
    """Return a success, an error, and an answer from the router."""
    return [
        await server.post(CHAT, server.chat_body(max_tokens=1)),
        await server.post(CHAT, server.chat_body(temperature="hot")),
        await server.ask("GET", "/no/such/route"),
    ]


@check("C3.1", "chat")
async def every_response_has_a_request_id(server: Server) -> None:
    for reply in await _each(server):
        expect(reply.headers.get("x-request-id"), f"status {reply.status} has no x-request-id")


@check("C3.1", "chat", extra=True)
async def a_clients_own_request_id_comes_back(server: Server) -> None:
    reply = await server.post(CHAT, server.chat_body(max_tokens=1), headers={"x-request-id": "doctor.1-a_b"})
    expect_equal("x-request-id", reply.headers.get("x-request-id"), "doctor.1-a_b")


@check("C3.1", "chat", extra=True)
async def an_unfit_request_id_is_replaced(server: Server) -> None:
    for unfit in ("two words", "x" * 129, "<script>"):
        reply = await server.post(CHAT, server.chat_body(max_tokens=1), headers={"x-request-id": unfit})
        expect(
            re.fullmatch(r"[A-Za-z0-9._-]{1,128}", reply.headers.get("x-request-id", "")),
            "x-request-id is missing or unfit",
        )


@check("C3.2", "chat", extra=True)
async def every_response_tells_its_version_and_time(server: Server) -> None:
    for reply in await _each(server):
        expect_equal("openai-version", reply.headers.get("openai-version"), "2020-10-01")
        expect(reply.headers.get("openai-processing-ms", "").isdigit(), "openai-processing-ms is no number")


@check("C3.3", "chat", extra=True)
async def limits_are_told_in_the_form_of_the_api(server: Server) -> None:
    reply = await server.post(CHAT, server.chat_body(max_tokens=1))
    told = {name: value for name, value in reply.headers.items() if name.startswith("x-ratelimit-")}
    for name, value in told.items():
        if "-reset-" in name:
            expect(value and _GO_DURATION.fullmatch(value), f"{name} is {value!r}, no duration as Go writes it")
        else:
            expect(value.isdigit(), f"{name} is {value!r}, no number")


@check("C3.4", "streaming")
async def a_stream_is_marked_as_one(server: Server) -> None:
    headers = (await server.chat_stream()).reply.headers
    expect(headers.get("content-type", "").startswith("text/event-stream"), "content-type is not text/event-stream")
    expect("content-encoding" not in headers, "it is compressed")


@check("C3.4", "streaming", extra=True)
async def no_proxy_may_keep_or_hold_a_stream(server: Server) -> None:
    headers = (await server.chat_stream()).reply.headers
    expect_equal("content-type", headers.get("content-type"), "text/event-stream; charset=utf-8")
    expect_equal("cache-control", headers.get("cache-control"), "no-cache")
    expect_equal("x-accel-buffering", headers.get("x-accel-buffering"), "no")


@check("C3.5", extra=True)
async def other_sites_scripts_are_not_let_in_unasked(server: Server) -> None:
    reply = await server.ask("GET", "/models", headers={"origin": "https://elsewhere.example"})
    expect("access-control-allow-origin" not in reply.headers, "access-control-allow-origin is there")
