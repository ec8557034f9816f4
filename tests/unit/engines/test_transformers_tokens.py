"""A model's own tokenizer, over HTTP, in vLLM's form."""

from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def tokenize(client: Any, **body: Any) -> Any:
    return (await client.http.post("/tokenize", json=body)).json()


async def test_a_text_becomes_tokens(client: Any) -> None:
    answer = await tokenize(client, prompt="The sky is", return_token_strs=True)

    assert answer == {
        "count": 3,
        "max_model_len": 1024,
        "tokens": [504, 6376, 314],
        "token_strs": ["The", "Ġsky", "Ġis"],
    }


async def test_a_conversation_has_the_tokens_that_are_billed(client: Any) -> None:
    question = "What is the capital of France?"
    answer = await tokenize(client, messages=[{"role": "user", "content": question}])
    open_ended = await tokenize(client, messages=[{"role": "user", "content": question}], add_generation_prompt=False)

    assert (answer["count"], answer["token_strs"]) == (37, None)
    assert answer["count"] > open_ended["count"]
    assert answer["count"] == (await client.chat(question, max_tokens=1))["usage"]["prompt_tokens"]


async def test_tools_are_part_of_a_conversation(client: Any) -> None:
    tools = [{"type": "function", "function": {"name": "get_time"}}]
    answer = await tokenize(client, messages=[{"role": "user", "content": "x"}], tools=tools)

    assert answer["count"] == (await client.chat("x", tools=tools, max_tokens=1))["usage"]["prompt_tokens"]


async def test_tokens_become_a_text_with_the_special_ones(client: Any) -> None:
    conversation = await tokenize(client, messages=[{"role": "user", "content": "Hello"}], add_generation_prompt=False)

    answer = (await client.http.post("/detokenize", json={"tokens": conversation["tokens"]})).json()

    assert answer["prompt"].endswith("<|im_start|>user\nHello<|im_end|>\n")


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("tokenize", {}, "prompt"),
        ("tokenize", {"prompt": "a", "messages": [{"role": "user", "content": "a"}]}, "prompt"),
        (
            "tokenize",
            {"messages": [{"role": "user", "content": "a"}], "add_special_tokens": True},
            "add_special_tokens",
        ),
        ("tokenize", {"prompt": "a", "chat_template": "{{ messages }}"}, "chat_template"),
        ("tokenize", {"prompt": "a", "model": "gpt-5"}, "model"),
        ("detokenize", {}, "tokens"),
        ("detokenize", {"tokens": [10**9]}, "tokens"),
        ("detokenize", {"tokens": [-1]}, "tokens"),
        ("detokenize", {"tokens": ["a"]}, "tokens.0"),
    ],
)
async def test_what_is_wrong_is_named(client: Any, path: str, body: Any, param: str) -> None:
    response = await client.http.post(f"/{path}", json=body)

    assert response.status_code in {400, 404}
    assert response.json()["error"]["param"] == param
