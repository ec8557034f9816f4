"""The Responses API in front of a chat app, through the real SDK; every event is parsed into the SDK's types."""

from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from engines.base import EngineSettings, error_response
from engines.echo.engine import EchoEngine
from engines.responses import with_responses
from tests.unit.engines.chat_app import Chat, calling, saying, sdk

EVENT = TypeAdapter(ResponseStreamEvent)
TOOL = {
    "type": "function",
    "name": "weather",
    "description": "Tells the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": True,
}


async def events_of(app: ASGIApp, **fields: Any) -> list[Any]:
    """Return the events of a stream, each as the SDK's type of it."""
    raw = await sdk(app).responses.with_raw_response.create(model="m", stream=True, **fields)
    frames = (await raw.http_response.aread()).decode().split("\n\n")[:-1]
    events = []
    for frame in frames:
        name, data = frame.split("\n")
        event = EVENT.validate_json(data.removeprefix("data: "))
        assert name == f"event: {event.type}"
        events.append(event)
    return events


async def test_a_whole_answer_is_a_response_with_every_field() -> None:
    response = await sdk(saying("Paris it is").app()).responses.create(model="m", input="Capital?")

    assert Response.model_validate(response.model_dump()).output_text == "Paris it is"
    assert (response.status, response.error, response.incomplete_details) == ("completed", None, None)
    assert (response.tools, response.tool_choice, response.parallel_tool_calls) == ([], "auto", True)
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (7, 3, 10)
    assert response.usage.input_tokens_details.cached_tokens == 2
    assert response.usage.output_tokens_details.reasoning_tokens == 1


async def test_a_stream_goes_through_the_lifecycle_in_order() -> None:
    events = await events_of(saying("Paris it is").app(), input="Capital?")

    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 3,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].response.output_text == events[7].text == "Paris it is "
    assert events[-1].response.usage.total_tokens == 10


async def test_a_truncated_answer_is_incomplete_whole_and_streamed() -> None:
    chat = saying("Paris", "length")

    whole = await sdk(chat.app()).responses.create(model="m", input="Capital?", max_output_tokens=1)
    events = await events_of(chat.app(), input="Capital?", max_output_tokens=1)

    assert chat.asked["max_completion_tokens"] == 1
    assert (whole.status, whole.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert (events[-1].type, events[-1].response.output[0].status) == ("response.incomplete", "incomplete")


async def test_calls_of_functions_are_items_of_their_own() -> None:
    chat = calling()

    whole = await sdk(chat.app()).responses.create(model="m", input="Weather?", tools=[TOOL], tool_choice="required")
    events = await events_of(chat.app(), input="Weather?", tools=[TOOL])

    assert [(item.type, item.call_id, item.arguments) for item in whole.output] == [
        ("function_call", "call_0", '{"city":"Rome"}'),
        ("function_call", "call_1", '{"city":"Rome"}'),
    ]
    one = ["output_item.added", *["function_call_arguments.delta"] * 2, "function_call_arguments.done"]
    assert [event.type.removeprefix("response.") for event in events[2:-1]] == [*one, "output_item.done"] * 2
    assert [item.call_id for item in events[-1].response.output] == ["call_0", "call_1"]


async def test_what_the_model_thinks_comes_before_what_it_says() -> None:
    chat = Chat({"role": "assistant", "content": "4", "reasoning": "2+2"}, [{"reasoning": "2+2"}, {"content": "4"}])

    whole = await sdk(chat.app()).responses.create(model="m", input="2+2?")
    events = await events_of(chat.app(), input="2+2?")

    assert [item.type for item in whole.output] == [item.type for item in events[-1].response.output]
    assert [item.type for item in whole.output] == ["reasoning", "message"]
    assert "response.reasoning_text.delta" in [event.type for event in events]


async def test_a_stream_that_breaks_off_ends_as_failed_and_with_nothing_after() -> None:
    events = await events_of(saying("Paris it", None).app(), input="Capital?")

    assert events[-1].type == "response.failed"
    assert events[-1].response.error.code == "server_error"
    assert events[-1].response.output[0].status == "incomplete"


async def test_an_empty_answer_is_a_message_without_text() -> None:
    events = await events_of(saying("").app(), input="Hush.")

    assert events[-1].response.output_text == ""
    assert len(events[-1].response.output) == 1


async def test_a_conversation_reaches_the_chat_in_its_words() -> None:
    chat = saying("ok")
    items: list[Any] = [
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}", "id": "fc_1"},
        {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
        {"type": "message", "role": "assistant", "id": "msg_1", "content": [{"type": "output_text", "text": "Sunny."}]},
        {"role": "developer", "content": "Be brief."},
    ]

    await sdk(chat.app()).responses.create(model="m", instructions="Help.", input=items, extra_body={"top_k": 3})

    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    assert chat.asked["messages"] == [
        {"role": "system", "content": "Help."},
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        {"role": "assistant", "content": "Sunny."},
        {"role": "developer", "content": "Be brief."},
    ]
    assert chat.asked["top_k"] == 3


async def test_settings_reach_the_chat_under_its_names() -> None:
    chat = saying("{}")
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    form: Any = {"type": "json_schema", "name": "answer", "schema": schema, "strict": True}

    response = await sdk(chat.app()).responses.create(
        model="m",
        input="Hi",
        temperature=0,
        top_p=0.5,
        text={"format": form},
        tools=[TOOL],
        tool_choice={"type": "function", "name": "weather"},
        parallel_tool_calls=False,
        metadata={"a": "b"},
        store=False,
    )

    assert chat.asked["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": True},
    }
    assert chat.asked["tools"] == [{"type": "function", "function": {k: v for k, v in TOOL.items() if k != "type"}}]
    assert chat.asked["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert (chat.asked["temperature"], chat.asked["top_p"]) == (0, 0.5)
    assert chat.asked["parallel_tool_calls"] is False
    assert not {"store", "metadata", "input", "text"} & chat.asked.keys()
    assert (response.metadata, response.text.format.type, response.parallel_tool_calls) == (
        {"a": "b"},
        "json_schema",
        False,
    )


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": [{"type": "web_search_call", "id": "x"}]}, "input.0.type"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}, "input.0.content.0.type"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input.0.role"),
        ({"input": [3]}, "input.0.type"),
        ({"input": []}, "input"),
        ({"input": "x", "tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"input": "x", "tools": [{"type": "function"}]}, "tools.0.name"),
        ({"input": "x", "tool_choice": {"type": "mcp"}}, "tool_choice.type"),
        ({"input": "x", "truncation": "auto"}, "truncation"),
        ({"input": "x", "text": {"verbosity": "low"}}, "text.verbosity"),
        ({"input": "x", "text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
        ({"input": "x", "previous_response_id": "resp_1"}, "previous_response_id"),
        ({"input": "x", "temperature": 3}, "temperature"),
        ({}, "input"),
    ],
)
async def test_what_cannot_be_done_is_refused_by_its_name(fields: dict[str, Any], param: str) -> None:
    transport = httpx.ASGITransport(with_responses(saying("x").app()))
    async with httpx.AsyncClient(transport=transport) as client:
        reply = await client.post("http://engine/v1/responses", json={"model": "m", **fields})

    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == param


async def test_a_refusal_of_the_chat_comes_under_the_names_of_a_response() -> None:
    async def refuse(_: Request) -> HttpResponse:
        return error_response(400, "Too long.", code="context_length_exceeded", param="messages")

    app = Starlette(routes=[Route("/v1/chat/completions", refuse, methods=["POST"])])

    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as refused:
            await sdk(app).responses.create(model="m", input="x", stream=stream)
        assert (refused.value.param, refused.value.code) == ("input", "context_length_exceeded")


@pytest.mark.parametrize("stream", [False, True])
async def test_an_engine_with_the_layer_answers_both(stream: bool) -> None:
    app = await EchoEngine(EngineSettings(model="m")).start()
    post: Callable[..., Any] = httpx.AsyncClient(transport=httpx.ASGITransport(app)).post

    chat = await post("http://engine/v1/chat/completions", json={"messages": [{"role": "user", "content": "a b"}]})
    reply = await post("http://engine/v1/responses", json={"model": "m", "input": "a b", "stream": stream})

    assert (chat.status_code, reply.status_code) == (200, 200)
    assert "a b a b" in reply.text or '"delta":" b"' in reply.text
