"""Real clients on the real model, on both engines."""

import asyncio
import subprocess

import openai
import pytest
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, OpenAI
from pydantic import SecretStr

from tests.e2e.running import KEY, Raygate

QUESTION = "What is the capital of France?"
MESSAGES: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": QUESTION}]


def test_the_sdk_gets_an_answer(sdk: OpenAI, model: str) -> None:
    answer = sdk.chat.completions.create(model=model, messages=MESSAGES, temperature=0)
    choice = answer.choices[0]
    assert "Paris" in (choice.message.content or "")
    assert choice.finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_the_sdk_streams(sdk: OpenAI, model: str) -> None:
    options: openai.types.chat.ChatCompletionStreamOptionsParam = {"include_usage": True}
    stream = sdk.chat.completions.create(
        model=model, messages=MESSAGES, temperature=0, stream=True, stream_options=options
    )
    *chunks, last = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    whole = sdk.chat.completions.create(model=model, messages=MESSAGES, temperature=0)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason] == ["stop"]
    assert last.choices == []
    assert last.usage is not None and whole.usage is not None
    assert last.usage.completion_tokens == whole.usage.completion_tokens


def test_the_async_sdk_runs_many_at_once(quickstart: Raygate, model: str) -> None:
    async def ask_all() -> list[str]:
        async with AsyncOpenAI(base_url=quickstart.openai_url, api_key=KEY) as client:
            asking = (client.chat.completions.create(model=model, messages=MESSAGES, temperature=0) for _ in range(8))
            return [answer.choices[0].message.content or "" for answer in await asyncio.gather(*asking)]

    answers = asyncio.run(ask_all())
    assert all("Paris" in answer for answer in answers)


def test_the_raw_response_carries_the_request_id_into_the_engine(sdk: OpenAI) -> None:
    raw = sdk.chat.completions.with_raw_response.create(
        model="smollm2", messages=MESSAGES, max_tokens=1, extra_headers={"x-request-id": "trace-me-42"}
    )
    assert raw.headers["x-request-id"] == "trace-me-42"
    assert "trace-me-42" in raw.parse().id


def test_the_sdk_raises_its_own_errors(quickstart: Raygate, sdk: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        sdk.chat.completions.create(model="nope", messages=MESSAGES)
    assert unknown.value.code == "model_not_found"
    assert unknown.value.param == "model"
    assert unknown.value.request_id
    stranger = OpenAI(base_url=quickstart.openai_url, api_key="sk-wrong", max_retries=0)
    with stranger, pytest.raises(openai.AuthenticationError) as refused:
        stranger.models.list()
    assert refused.value.code == "invalid_api_key"


def test_choices_stops_seeds_and_logprobs_come_with_the_engine(sdk: OpenAI, model: str) -> None:
    answer = sdk.chat.completions.create(
        model=model, messages=MESSAGES, n=2, stop=[" is"], seed=7, temperature=0.01, logprobs=True, top_logprobs=2
    )
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert {choice.message.content for choice in answer.choices} == {"The capital of France"}
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None and logprobs.content is not None
    assert all(len(token.top_logprobs) == 2 for token in logprobs.content)


@pytest.fixture
def langchain(quickstart: Raygate, model: str) -> ChatOpenAI:
    return ChatOpenAI(model=model, base_url=quickstart.openai_url, api_key=SecretStr(KEY), temperature=0)


def test_langchain_invokes(langchain: ChatOpenAI) -> None:
    message = langchain.invoke(QUESTION)
    assert "Paris" in str(message.content)
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] > 0


def test_langchain_streams(langchain: ChatOpenAI) -> None:
    assert "Paris" in "".join(str(chunk.content) for chunk in langchain.stream(QUESTION))


def test_langchain_batches(langchain: ChatOpenAI) -> None:
    assert all("Paris" in str(message.content) for message in langchain.batch([QUESTION] * 4))


def test_langchain_sees_a_prompt_over_the_context(quickstart: Raygate) -> None:
    from langchain_core.exceptions import ContextOverflowError

    chat = ChatOpenAI(model="smollm2", base_url=quickstart.openai_url, api_key=SecretStr(KEY), max_retries=0)
    with pytest.raises(ContextOverflowError):
        chat.invoke("word " * 5000)


def test_curl_streams(quickstart: Raygate, model: str) -> None:
    body = f'{{"model":"{model}","messages":[{{"role":"user","content":"{QUESTION}"}}],"stream":true,"temperature":0}}'
    command = ["curl", "-sN", f"{quickstart.openai_url}/chat/completions", "-d", body]
    command += ["-H", f"Authorization: Bearer {KEY}", "-H", "Content-Type: application/json"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert " Paris" in said
    assert said.endswith("data: [DONE]\n\n")
