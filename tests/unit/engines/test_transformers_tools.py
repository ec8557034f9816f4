"""Functions that the model calls: offered in the prompt, held to their schemas, told as the API tells them."""

import json
from pathlib import Path
from typing import Any

import pytest

from engines.transformers.calls import Arguments, Call, CallReader
from engines.transformers.prompt import in_plain_words
from engines.transformers.tokenizer import Tokenizer

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"$ref": "#/$defs/unit"}},
            "required": ["city", "unit"],
            "additionalProperties": False,
            "$defs": {"unit": {"enum": ["celsius", "fahrenheit"]}},
        },
    },
}
TIME = {"type": "function", "function": {"name": "get_time"}}
QUESTION = "What is the weather in Paris?"


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def calls_of(chunks: list[Any]) -> list[Any]:
    """Put a stream's calls together, as clients do."""
    calls: list[Any] = []
    for chunk in chunks:
        for delta in chunk["choices"][0]["delta"].get("tool_calls", []):
            if "id" in delta:
                assert delta["index"] == len(calls)
                calls.append({"id": delta["id"], "type": delta["type"], "function": dict(delta["function"])})
            else:
                assert delta.keys() == {"index", "function"} and delta["function"].keys() == {"arguments"}
                calls[delta["index"]]["function"]["arguments"] += delta["function"]["arguments"]
    return calls


@pytest.mark.asyncio(loop_scope="session")
async def test_a_required_call_is_made(client: Any) -> None:
    answer = await client.chat(
        QUESTION, temperature=0, tools=[WEATHER], tool_choice="required", parallel_tool_calls=False
    )

    choice = answer["choices"][0]
    call = choice["message"]["tool_calls"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert (choice["message"]["content"], len(choice["message"]["tool_calls"])) == (None, 1)
    assert (call["id"][:5], call["type"], call["function"]["name"]) == ("call_", "function", "get_weather")
    assert json.loads(call["function"]["arguments"]).keys() == {"city", "unit"}


@pytest.mark.asyncio(loop_scope="session")
async def test_a_named_call_is_made_and_ends_with_stop(client: Any) -> None:
    answer = await client.chat(QUESTION, temperature=0, tools=[WEATHER, TIME], tool_choice=named("get_time"))

    choice = answer["choices"][0]
    assert [call["function"] for call in choice["message"]["tool_calls"]] == [{"name": "get_time", "arguments": "{}"}]
    assert choice["finish_reason"] == "stop"


@pytest.mark.asyncio(loop_scope="session")
async def test_hot_choices_call_as_required(client: Any) -> None:
    answer = await client.chat(
        QUESTION, temperature=2, seed=1, n=3, tools=[WEATHER, TIME], tool_choice="required", parallel_tool_calls=False
    )

    for choice in answer["choices"]:
        (call,) = choice["message"]["tool_calls"]
        assert call["function"]["name"] in {"get_weather", "get_time"}
        assert isinstance(json.loads(call["function"]["arguments"]), dict)


@pytest.mark.asyncio(loop_scope="session")
async def test_a_stream_calls_as_the_whole_does(client: Any) -> None:
    wish = {"temperature": 0, "tools": [WEATHER], "tool_choice": "required", "parallel_tool_calls": False}
    whole = await client.chat(QUESTION, **wish)
    chunks = await client.stream(QUESTION, **wish)

    (call,) = calls_of(chunks)
    assert call["function"] == whole["choices"][0]["message"]["tool_calls"][0]["function"]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[1]["choices"][0]["delta"]["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": ""}
    assert len(chunks) > 5
    assert (chunks[-1]["choices"][0]["delta"], chunks[-1]["choices"][0]["finish_reason"]) == ({}, "tool_calls")


@pytest.mark.asyncio(loop_scope="session")
async def test_length_wins_over_tool_calls(client: Any) -> None:
    wish = {"temperature": 0, "tools": [WEATHER], "tool_choice": "required", "max_tokens": 22}
    answer = await client.chat(QUESTION, **wish)
    chunks = await client.stream(QUESTION, **wish)

    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "get_weather"
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"


@pytest.mark.asyncio(loop_scope="session")
async def test_a_model_that_need_not_call_may_answer(client: Any) -> None:
    answer = await client.chat("What is the capital of France?", temperature=0, tools=[TIME], tool_choice="auto")
    free = await client.chat("What is the capital of France?", temperature=0, tools=[TIME], tool_choice="none")

    for choice in (answer["choices"][0], free["choices"][0]):
        assert "tool_calls" not in choice["message"]
        assert choice["finish_reason"] == "stop"
        assert choice["message"]["content"]
    assert free["usage"]["prompt_tokens"] == 37 < answer["usage"]["prompt_tokens"]


def called(id: str) -> list[Any]:  # noqa: A002 - the API's own word
    """Return a turn in which the model was asked to call, and did."""
    call = {"id": id, "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
    return [
        {"role": "user", "content": "Call get_time."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
    ]


@pytest.mark.asyncio(loop_scope="session")
async def test_a_model_that_learned_to_call_calls_by_itself(client: Any) -> None:
    messages = [*called("call_1"), *called("call_2"), *called("call_3"), {"role": "user", "content": "Call get_time."}]

    response = await client.post("chat/completions", messages=messages, tools=[TIME], temperature=0, max_tokens=60)

    choice = response.json()["choices"][0]
    (call,) = choice["message"]["tool_calls"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    assert call["function"] == {"name": "get_time", "arguments": "{}"}


@pytest.mark.asyncio(loop_scope="session")
async def test_a_result_is_told_to_the_model(client: Any) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "What time is it?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "It is 12:45."},
    ]

    response = await client.post("chat/completions", messages=messages, tools=[TIME], temperature=0, max_tokens=40)

    assert response.status_code == 200
    assert "12:45" in response.json()["choices"][0]["message"]["content"]


@pytest.mark.asyncio(loop_scope="session")
async def test_parameters_that_do_not_compile_are_refused(client: Any) -> None:
    wrong = {"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": wrong}}

    answer = await client.chat(QUESTION, tools=[tool])

    assert (answer["error"]["code"], answer["error"]["param"]) == ("invalid_value", "tools")


@pytest.mark.asyncio(loop_scope="session")
async def test_an_answer_is_a_call_or_follows_the_format(client: Any) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"enum": ["yes", "no"]}}}

    answer = await client.chat("Is it raining?", temperature=0, tools=[TIME], response_format=schema)

    message = answer["choices"][0]["message"]
    assert message["content"] in {'"yes"', '"no"'} or message["tool_calls"][0]["function"]["name"] == "get_time"


TWO_CALLS = (
    'Let me see. <tool_call>\n{"name": "f", "arguments": {"a": "} \\" </tool_call>", "b": [{}]}}\n</tool_call>'
    '\n<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>'
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_calls_are_read_however_the_text_is_cut(size: int) -> None:
    reader = CallReader()
    pieces = [TWO_CALLS[start : start + size] for start in range(0, len(TWO_CALLS), size)]

    said = [part for piece in pieces for part in reader.push(piece, last=False)] + list(reader.push("", last=True))

    assert "".join(part for part in said if isinstance(part, str)) == "Let me see. "
    assert [(part.index, part.name) for part in said if isinstance(part, Call)] == [(0, "f"), (1, "g")]
    arguments = ["", ""]
    for part in said:
        if isinstance(part, Arguments):
            arguments[part.index] += part.text
    assert [json.loads(text) for text in arguments] == [{"a": '} " </tool_call>', "b": [{}]}, {}]


def test_what_only_looked_like_a_call_is_text() -> None:
    reader = CallReader()

    said = [*reader.push("a <tool", last=False), *reader.push("", last=True)]

    assert said == ["a ", "<tool"]


def test_functions_are_told_at_the_end_of_the_system_message() -> None:
    system = {"role": "system", "content": "Be brief."}

    (first, second) = in_plain_words([system, {"role": "user", "content": "x"}], [TIME])

    assert first["content"].startswith("Be brief.\n\nYou may call functions.")
    assert '{"name": "get_time"}' in first["content"]
    assert second == {"role": "user", "content": "x"}


def test_calls_and_results_are_told_in_plain_words() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}

    told = in_plain_words(
        [
            {"role": "assistant", "content": "Well.", "tool_calls": [call]},
            {"role": "tool", "content": "12", "tool_call_id": "c"},
        ],
        [],
    )

    assert told == [
        {
            "role": "assistant",
            "content": 'Well.\n<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>',
        },
        {"role": "user", "content": "<tool_response>\n12\n</tool_response>"},
    ]


HERMES = (
    "{% for tool in tools %}[{{ tool.function.name }}]{% endfor %}"
    '{{ \'<tool_call>\\n{"name": <name>, "arguments": <object>}\\n</tool_call>\' }}'
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}"
    "{% for call in message.tool_calls %}{{ call.function.arguments | tojson }}{% endfor %}{% endfor %}"
)


def test_a_template_that_knows_the_form_tells_it_itself(smollm2: str, tmp_path: Path) -> None:
    for file in Path(smollm2).glob("*.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "chat_template.jinja").write_text(HERMES)
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    tokenizer = Tokenizer(str(tmp_path))

    prompt = tokenizer.chat([{"role": "assistant", "content": "", "tool_calls": [call]}], [WEATHER])

    text = tokenizer.decode(list(prompt))
    assert text.startswith("[get_weather]<tool_call>")
    assert text.endswith('<assistant>{"a": 1}')
