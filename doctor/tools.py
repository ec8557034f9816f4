"""Tool calls, whole and streamed."""

from typing import Any

import orjson

from doctor.check import check
from doctor.reply import Stream
from doctor.server import CHAT, QUESTION, Server
from doctor.verdict import Failed, brief, expect, expect_equal

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "strict": True,
        "description": "Tells the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
TIME = {
    "type": "function",
    "function": {
        "name": "get_time",
        "description": "Tells the time.",
        "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
    },
}
NAMED = {"type": "function", "function": {"name": "get_weather"}}
ASKED = [{"role": "user", "content": "What is the weather in Paris?"}]
REQUIRED: dict[str, Any] = {
    "messages": ASKED,
    "tools": [WEATHER],
    "tool_choice": "required",
    "parallel_tool_calls": False,
    "max_tokens": 96,
}
CHOSEN: dict[str, Any] = {"messages": ASKED, "tools": [WEATHER, TIME], "tool_choice": NAMED, "max_tokens": 64}


@check("C4.6", "tools")
async def a_required_call_is_made(server: Server) -> None:
    choice = (await server.chat(**REQUIRED))["choices"][0]
    _expect_calls(choice["message"], choice["finish_reason"], reason="tool_calls")


@check("C4.6", "tools")
async def a_named_function_is_called(server: Server) -> None:
    choice = (await server.chat(**CHOSEN))["choices"][0]
    _expect_calls(choice["message"], choice["finish_reason"], reason="stop")


@check("C5.4", "tools")
async def a_message_with_calls_has_null_content(server: Server) -> None:
    message = (await server.chat(**CHOSEN))["choices"][0]["message"]
    expect("content" in message, "content is missing")
    expect_equal("content", message["content"], None)


@check("C4.6", "tools")
async def the_id_of_a_call_begins_with_call(server: Server) -> None:
    (call,) = (await server.chat(**CHOSEN))["choices"][0]["message"]["tool_calls"]
    expect(str(call["id"]).startswith("call_"), f"it is {brief(call['id'])}")
    streamed = _joined(await server.chat_stream(**CHOSEN))
    expect(str(streamed[0]["id"]).startswith("call_"), f"streamed it is {brief(streamed[0]['id'])}")


@check("C4.6", "tools", "streaming")
async def a_streamed_call_opens_with_id_type_and_name_and_goes_on_with_arguments(server: Server) -> None:
    stream = await server.chat_stream(**REQUIRED)
    first, *others = _deltas(stream)
    expect_equal("index", first.get("index"), 0)
    expect(first.get("id") and first.get("type") == "function", "the first delta lacks id or type")
    expect_equal("name", first["function"].get("name"), "get_weather")
    again = [delta for delta in others if delta.get("id") or (delta.get("function") or {}).get("name")]
    expect(not any(delta["index"] == 0 for delta in again), "id or name are told twice")
    message = {"content": None, "tool_calls": _joined(stream)}
    (reason,) = stream.finish_reasons()
    _expect_calls(message, reason, reason="tool_calls")


@check("C4.6", "tools", "streaming", extra=True)
async def a_streamed_call_opens_with_empty_arguments(server: Server) -> None:
    first, *_ = _deltas(await server.chat_stream(**CHOSEN))
    expect_equal("the first arguments", first["function"].get("arguments"), "")


@check("C4.6", "tools", "streaming")
async def a_named_function_is_called_in_a_stream(server: Server) -> None:
    stream = await server.chat_stream(**CHOSEN)
    (reason,) = stream.finish_reasons()
    _expect_calls({"content": stream.text() or None, "tool_calls": _joined(stream)}, reason, reason="stop")


@check("C4.7", "tools")
async def a_truncated_call_ends_with_length(server: Server) -> None:
    whole = await server.chat(**{**CHOSEN, "max_tokens": 3})
    expect_equal("finish_reason", whole["choices"][0]["finish_reason"], "length")
    required = await server.chat(**{**REQUIRED, "max_tokens": 3})
    expect_equal("finish_reason of a required call", required["choices"][0]["finish_reason"], "length")


@check("C4.7", "tools", "streaming")
async def a_truncated_call_in_a_stream_ends_with_length(server: Server) -> None:
    stream = await server.chat_stream(**{**REQUIRED, "max_tokens": 3})
    expect_equal("finish_reason", stream.finish_reasons(), ["length"])


@check("C4.7", "tools")
async def tools_that_must_not_be_called_are_not(server: Server) -> None:
    choice = (await server.chat(messages=ASKED, tools=[WEATHER], tool_choice="none"))["choices"][0]
    expect(not choice["message"].get("tool_calls"), "there are tool calls")
    expect(choice["finish_reason"] in {"stop", "length"}, f"finish_reason is {choice['finish_reason']}")


@check("C4.7", "auto_tools")
async def who_may_call_tools_says_why_it_ended(server: Server) -> None:
    choice = (await server.chat(messages=ASKED, tools=[WEATHER], max_tokens=32))["choices"][0]
    if choice["message"].get("tool_calls"):
        _expect_calls(choice["message"], choice["finish_reason"], reason="tool_calls")
    else:
        expect(choice["finish_reason"] in {"stop", "length"}, f"finish_reason is {choice['finish_reason']}")


@check("C4.6", "tools")
async def results_of_calls_are_taken_into_the_conversation(server: Server) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}}
    messages = [
        *ASKED,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        {"role": "user", "content": QUESTION},
    ]
    answer = await server.chat(messages=messages, tools=[WEATHER], tool_choice="none")
    expect(answer["choices"][0]["message"]["content"], "there is no answer")


@check("C2.2", "tools")
async def a_named_function_that_is_not_there_is_refused(server: Server) -> None:
    named = {"type": "function", "function": {"name": "no_such_function"}}
    await server.refused(CHAT, server.chat_body(messages=ASKED, tools=[WEATHER], tool_choice=named))


@check("C2.2", "tools")
async def a_choice_of_tools_without_tools_is_refused(server: Server) -> None:
    await server.refused(CHAT, server.chat_body(tool_choice="required"))


def _deltas(stream: Stream) -> list[dict[str, Any]]:
    found = [call for delta in stream.deltas() for call in delta.get("tool_calls") or []]
    if not found:
        raise Failed("there are no tool calls")
    return found


def _joined(stream: Stream) -> list[dict[str, Any]]:
    """Return the calls that the deltas come to."""
    calls: dict[int, dict[str, Any]] = {}
    for delta in _deltas(stream):
        call = calls.setdefault(delta["index"], {"id": None, "type": None, "function": {"name": "", "arguments": ""}})
        told = delta.get("function") or {}
        call["id"], call["type"] = call["id"] or delta.get("id"), call["type"] or delta.get("type")
        call["function"]["name"] += told.get("name") or ""
        call["function"]["arguments"] += told.get("arguments") or ""
    expect_equal("the indices", sorted(calls), list(range(len(calls))))
    return [calls[index] for index in sorted(calls)]


def _expect_calls(message: dict[str, Any], found: str, *, reason: str) -> None:
    """Expect calls of get_weather with arguments of its schema; truncated ones end with ``length``."""
    calls = message.get("tool_calls")
    if not calls:
        raise Failed("there are no tool calls")
    expect_equal("finish_reason", found, reason)
    for call in calls:
        expect_equal("type", call["type"], "function")
        expect(isinstance(call["id"], str) and call["id"], "a call has no id")
        expect_equal("name", call["function"]["name"], "get_weather")
        try:
            arguments = orjson.loads(call["function"]["arguments"])
        except orjson.JSONDecodeError:
            raise Failed(f"the arguments are no JSON: {brief(call['function']['arguments'])}") from None
        expect(
            isinstance(arguments, dict) and arguments.get("city") in {"Paris", "Rome"},
            f"the arguments are {brief(arguments)}",
        )
