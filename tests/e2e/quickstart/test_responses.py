"""The Responses API on a real model, on both engines, through the SDK; every event is parsed into the SDK's types."""

import asyncio
import json
from typing import Any

import httpx
from openai import OpenAI
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from tests.e2e.quickstart.test_engines import engine_requests
from tests.e2e.running import KEY, Raygate
from tests.e2e.waiting import within

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
QUESTION = "What is the capital of France?"
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


class Capital(BaseModel):
    """What the model is to fill in."""

    city: str
    country: str


def test_a_response_says_what_a_chat_says_and_counts_as_it_counts(sdk: OpenAI, model: str) -> None:
    chat = sdk.chat.completions.create(
        model=model, messages=[{"role": "user", "content": QUESTION}], temperature=0, max_completion_tokens=40
    )
    response = sdk.responses.create(model=model, input=QUESTION, temperature=0, max_output_tokens=40)

    assert Response.model_validate(response.model_dump())
    assert (response.output_text, response.status) == (chat.choices[0].message.content, "completed")
    assert "Paris" in response.output_text
    assert response.usage is not None and chat.usage is not None
    assert response.usage.input_tokens == chat.usage.prompt_tokens
    assert response.usage.output_tokens == chat.usage.completion_tokens
    assert sdk.responses.retrieve(response.id) == response


def test_every_event_of_a_stream_is_one_of_the_apis(http: httpx.Client, sdk: OpenAI, model: str) -> None:
    body = {"model": model, "input": QUESTION, "temperature": 0, "max_output_tokens": 40, "stream": True}
    frames = http.post("/v1/responses", json=body).text.split("\n\n")

    assert frames.pop() == ""
    events = [EVENT.validate_json(frame.partition("\ndata: ")[2]) for frame in frames]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == said
    assert sdk.responses.retrieve(events[0].response.id) == events[-1].response


def test_a_conversation_goes_on_from_a_response(sdk: OpenAI, model: str) -> None:
    first = sdk.responses.create(model=model, input="My name is Ada.", temperature=0, max_output_tokens=30)
    second = sdk.responses.create(
        model=model, input="What is my name?", previous_response_id=first.id, temperature=0, max_output_tokens=30
    )
    by_hand = sdk.responses.create(
        model=model,
        input=[
            {"role": "user", "content": "My name is Ada."},
            {"role": "assistant", "content": first.output_text},
            {"role": "user", "content": "What is my name?"},
        ],
        temperature=0,
        max_output_tokens=30,
    )

    assert second.usage is not None and by_hand.usage is not None
    assert second.usage.input_tokens == by_hand.usage.input_tokens
    assert second.output_text == by_hand.output_text


def test_a_function_that_must_be_called_is_called(sdk: OpenAI, model: str) -> None:
    asked: Any = {"model": model, "input": "Weather in Paris?", "tools": [WEATHER], "tool_choice": "required"}
    whole = sdk.responses.create(**asked, temperature=0, max_output_tokens=100, parallel_tool_calls=False)
    with sdk.responses.stream(**asked, temperature=0, max_output_tokens=100, parallel_tool_calls=False) as stream:
        streamed = stream.get_final_response()

    for response in (whole, streamed):
        call = next(item for item in response.output if item.type == "function_call")
        assert call.name == "get_weather"
        assert json.loads(call.arguments)["city"] in {"Paris", "Rome"}

    call = next(item for item in whole.output if item.type == "function_call")
    answered = sdk.responses.create(
        model=model,
        previous_response_id=whole.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "It is sunny."}],
        max_output_tokens=20,
    )
    assert answered.usage is not None and whole.usage is not None
    assert answered.usage.input_tokens > 0


def test_an_answer_is_parsed_into_a_type(sdk: OpenAI, model: str) -> None:
    response = sdk.responses.parse(
        model=model, input=QUESTION, text_format=Capital, temperature=0, max_output_tokens=100
    )

    assert isinstance(response.output_parsed, Capital)


def test_a_truncated_answer_is_incomplete(sdk: OpenAI, model: str) -> None:
    response = sdk.responses.create(model=model, input=QUESTION, temperature=0, max_output_tokens=2)

    assert (response.status, response.incomplete_details.reason) == (  # type: ignore[union-attr]
        "incomplete",
        "max_output_tokens",
    )


def test_when_a_response_is_cancelled_its_engine_stops(http: httpx.Client, sdk: OpenAI, model: str) -> None:
    run = sdk.responses.create(model=model, input="Tell me a very long story.", background=True, max_output_tokens=1500)
    assert within(20, lambda: engine_requests(http, model)[0] == 1)

    sdk.responses.cancel(run.id)

    assert within(3, lambda: engine_requests(http, model) == (0, 0))


def test_when_a_client_leaves_its_stream_the_engine_stops(quickstart: Raygate, http: httpx.Client, model: str) -> None:
    body = {"model": model, "input": "Tell me a very long story.", "max_output_tokens": 1500, "stream": True}

    async def leave_early() -> None:
        headers = {"authorization": f"Bearer {KEY}"}
        async with (
            httpx.AsyncClient(base_url=quickstart.url, headers=headers, timeout=60) as client,
            client.stream("POST", "/v1/responses", json=body) as response,
        ):
            assert await anext(response.aiter_bytes())

    asyncio.run(leave_early())
    assert within(3, lambda: engine_requests(http, model) == (0, 0))
