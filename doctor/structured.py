"""Answers whose form is given: JSON, and JSON of a schema."""

from typing import Any

import orjson

from doctor.check import check
from doctor.server import CHAT, Server
from doctor.verdict import Failed, brief, expect, expect_equal

CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}, "capital": {"type": "boolean"}},
    "required": ["city", "capital"],
    "additionalProperties": False,
}
OF_SCHEMA = {"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": CITY}}


@check("C5.1", "structured_outputs")
async def an_answer_of_a_schema_is_json_of_that_schema(server: Server) -> None:
    choice = (await server.chat(response_format=OF_SCHEMA, max_tokens=64))["choices"][0]
    _expect_city(choice["message"]["content"])
    expect_equal("finish_reason", choice["finish_reason"], "stop")


@check("C5.1", "structured_outputs", "streaming")
async def a_streamed_answer_of_a_schema_is_json_of_that_schema(server: Server) -> None:
    stream = await server.chat_stream(response_format=OF_SCHEMA, max_tokens=64)
    _expect_city(stream.text())
    expect_equal("finish_reason", stream.finish_reasons(), ["stop"])


@check("C5.1", "structured_outputs")
async def json_mode_gives_an_object_or_is_cut(server: Server) -> None:
    messages = [{"role": "user", "content": 'Reply with JSON: {"city": "Paris"}'}]
    choice = (await server.chat(messages=messages, response_format={"type": "json_object"}, max_tokens=48))["choices"][
        0
    ]
    content = str(choice["message"]["content"])
    if choice["finish_reason"] == "length":
        expect(content.lstrip().startswith("{"), f"it begins with {brief(content[:20])}")
    else:
        expect(isinstance(_json(content), dict), "it is no object")


@check("C5.1", "chat")
async def text_may_be_asked_for_by_name(server: Server) -> None:
    answer = await server.chat(response_format={"type": "text"})
    expect(answer["choices"][0]["message"]["content"], "there is no text")


@check("C2.2", "chat")
async def a_format_that_does_not_exist_is_refused(server: Server) -> None:
    await server.refused(CHAT, server.chat_body(response_format={"type": "poem"}))


@check("C2.2", "structured_outputs")
async def a_schema_that_is_missing_is_refused(server: Server) -> None:
    await server.refused(CHAT, server.chat_body(response_format={"type": "json_schema"}))


def _expect_city(content: str) -> None:
    city = _json(content)
    expect(
        isinstance(city, dict) and city.keys() == {"city", "capital"}, f"its fields are not the schema's: {brief(city)}"
    )
    expect(city["city"] in {"Paris", "Rome"} and isinstance(city["capital"], bool), f"its values are {brief(city)}")


def _json(content: str) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        raise Failed(f"the content is no JSON: {brief(content)}") from None
