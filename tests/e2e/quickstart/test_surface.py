"""The endpoints beside chat on the real model: text completions, tokens, and Anthropic's messages."""

import anthropic
import httpx
import openai
import pytest

from tests.e2e.running import KEY, Raygate

FRANCE = "The capital of France is"
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture
def claude(quickstart: Raygate) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=quickstart.url, api_key=KEY, max_retries=0)


def test_a_text_is_completed(sdk: openai.OpenAI, model: str) -> None:
    answer = sdk.completions.create(model=model, prompt=FRANCE, max_tokens=2, temperature=0, logprobs=1)
    (choice,) = answer.choices
    assert choice.text.startswith(" Paris")
    assert choice.logprobs is not None
    assert choice.logprobs.tokens is not None
    assert choice.logprobs.tokens[0] == " Paris"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2


def test_a_streamed_completion_is_the_whole_one_in_pieces(sdk: openai.OpenAI, model: str) -> None:
    asked = {"model": model, "prompt": FRANCE, "max_tokens": 6, "temperature": 0}
    whole = sdk.completions.create(**asked).choices[0].text  # type: ignore[call-overload]
    stream = list(sdk.completions.create(**asked, stream=True))  # type: ignore[call-overload]
    assert "".join(chunk.choices[0].text for chunk in stream) == whole
    assert stream[-1].choices[0].finish_reason == "length"


def test_a_prompt_may_come_as_its_tokens(sdk: openai.OpenAI, http: httpx.Client, model: str) -> None:
    tokens = http.post("/tokenize", json={"model": model, "prompt": FRANCE}).json()["tokens"]
    assert http.post("/detokenize", json={"model": model, "tokens": tokens}).json()["prompt"] == FRANCE
    answer = sdk.completions.create(model=model, prompt=tokens, max_tokens=1, temperature=0)
    assert answer.choices[0].text == " Paris"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(tokens)


def test_anthropics_client_gets_a_message(claude: anthropic.Anthropic) -> None:
    asked = {"model": "smollm2", "max_tokens": 20, "messages": QUESTION, "extra_body": {"temperature": 0}}
    message = claude.messages.create(**asked)  # type: ignore[call-overload]
    assert message.content[0].type == "text"
    assert "Paris" in message.content[0].text
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 0


def test_anthropics_client_reads_a_stream(claude: anthropic.Anthropic) -> None:
    asked = {"model": "smollm2", "max_tokens": 4, "messages": QUESTION, "extra_body": {"temperature": 0}}
    with claude.messages.stream(**asked) as stream:  # type: ignore[arg-type]
        assert "".join(stream.text_stream) == "The capital of France"
        assert stream.get_final_message().stop_reason == "max_tokens"


def test_anthropics_client_counts_tokens(claude: anthropic.Anthropic) -> None:
    counted = claude.messages.count_tokens(model="smollm2", messages=QUESTION)  # type: ignore[arg-type]
    message = claude.messages.create(model="smollm2", max_tokens=1, messages=QUESTION)  # type: ignore[arg-type]
    cached = message.usage.cache_read_input_tokens or 0
    assert message.usage.input_tokens + cached == counted.input_tokens


def test_anthropics_client_understands_a_refusal(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as refused:
        claude.messages.create(model="nope", max_tokens=1, messages=QUESTION)  # type: ignore[arg-type]
    assert refused.value.body["error"]["type"] == "not_found_error"  # type: ignore[index]
