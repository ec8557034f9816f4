"""Bounds: what is too much is refused, and the next request is answered."""

from typing import Any

from doctor.check import check
from doctor.server import CHAT, Server
from doctor.verdict import expect


@check("C2.8", "chat", extra=True)
async def a_body_of_twenty_megabytes_is_413(server: Server) -> None:
    error = await server.refused(CHAT, {}, 413, content=b"x" * 20_000_000)
    expect(error["code"] == "request_too_large", f"code is {error['code']}")


@check("C2.2", "chat")
async def json_of_ten_thousand_levels_is_refused(server: Server) -> None:
    await _refused_and_alive(server, content=b'{"messages":' + b"[" * 10_000 + b"]" * 10_000 + b"}")


@check("C2.2", "chat")
async def a_thousand_choices_are_refused(server: Server) -> None:
    await _refused_and_alive(server, n=1000)


@check("C2.2", "chat", extra=True)
async def ten_thousand_tools_are_refused(server: Server) -> None:
    function = {"name": "f", "parameters": {"type": "object", "properties": {}}}
    await _refused_and_alive(server, tools=[{"type": "function", "function": function}] * 10_000)


@check("C2.2", "structured_outputs")
async def a_schema_that_does_not_compile_is_refused(server: Server) -> None:
    schema = {"name": "x", "schema": {"type": "no-such-type"}}
    await _refused_and_alive(server, response_format={"type": "json_schema", "json_schema": schema})


@check("C2.2", "structured_outputs", extra=True)
async def a_schema_of_a_hundred_levels_is_refused_or_answered_in_time(server: Server) -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(100):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"], "additionalProperties": False}
    body = server.chat_body(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    reply = await server.post(CHAT, body)
    expect(reply.status in {200, 400}, f"status {reply.status}")
    await server.chat(max_tokens=1)


@check("C2.2", "chat")
async def a_negative_number_of_tokens_is_refused(server: Server) -> None:
    await _refused_and_alive(server, max_tokens=-1)


async def _refused_and_alive(server: Server, content: bytes | None = None, **fields: Any) -> None:
    await server.refused(CHAT, server.chat_body(**fields), content=content)
    await server.chat(max_tokens=1)
