"""The Transformers engine's answers on the embedded model, in the API's shapes."""

from typing import Any

import pytest

from engines.base import EngineSettings, EngineStartError, Load
from engines.transformers.engine import TransformersEngine

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_it_knows_the_capital_of_france(client: Any) -> None:
    answer = await client.chat(temperature=0)

    assert "Paris" in answer["choices"][0]["message"]["content"]
    assert answer["choices"][0]["finish_reason"] == "stop"


async def test_an_answer_has_every_field(client: Any) -> None:
    answer = await client.chat(temperature=0, max_tokens=3)

    assert answer["id"].startswith("chatcmpl-")
    assert (answer["object"], answer["model"], answer["service_tier"]) == ("chat.completion", "smollm2", "default")
    assert answer["system_fingerprint"].startswith("fp_")
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "The capital of", "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "length",
        }
    ]
    assert answer["usage"] == {
        "prompt_tokens": 37,
        "completion_tokens": 3,
        "total_tokens": 40,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


async def test_a_stream_says_what_the_whole_says(client: Any) -> None:
    whole = await client.chat(temperature=0)
    chunks = await client.stream(temperature=0, stream_options={"include_usage": True})

    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert deltas[-1] == {}
    assert "".join(delta["content"] for delta in deltas[:-1]) == whole["choices"][0]["message"]["content"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 2) + ["stop"]
    assert (chunks[-1]["choices"], chunks[-1]["usage"]) == ([], whole["usage"])
    assert {chunk["usage"] is None for chunk in chunks[:-1]} == {True}
    assert len({(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in chunks}) == 1


async def test_usage_is_not_told_unasked(client: Any) -> None:
    chunks = await client.stream(temperature=0, max_tokens=2)

    assert not any("usage" in chunk for chunk in chunks)
    assert all(chunk["choices"] for chunk in chunks)


async def test_every_choice_of_a_stream_begins_once_and_ends_once(client: Any) -> None:
    chunks = await client.stream("Tell me a joke", n=3, max_tokens=6, seed=1)

    choices = [chunk["choices"][0] for chunk in chunks]
    assert sorted(choice["index"] for choice in choices if "role" in choice["delta"]) == [0, 1, 2]
    assert sorted(choice["index"] for choice in choices if choice["finish_reason"]) == [0, 1, 2]


async def test_choices_are_in_order_and_counted_together(client: Any) -> None:
    answer = await client.chat("Tell me a joke", n=3, max_tokens=5, seed=3, ignore_eos=True)

    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in answer["choices"]}) == 3
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (34, 15)


async def test_max_completion_tokens_wins(client: Any) -> None:
    answer = await client.chat(temperature=0, max_tokens=5, max_completion_tokens=2)

    assert answer["usage"]["completion_tokens"] == 2


async def test_a_stop_string_ends_the_answer_unseen(client: Any) -> None:
    answer = await client.chat(temperature=0, stop=" France")
    chunks = await client.stream(temperature=0, stop=[" France", "zebra"])

    assert answer["choices"][0]["message"]["content"] == "The capital of"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "The capital of"


async def test_logprobs_spell_the_answer(client: Any) -> None:
    answer = await client.chat(temperature=0, logprobs=True, top_logprobs=2)

    choice = answer["choices"][0]
    content = choice["logprobs"]["content"]
    assert b"".join(bytes(entry["bytes"]) for entry in content).decode() == choice["message"]["content"]
    assert choice["logprobs"]["refusal"] is None
    assert all(entry["top_logprobs"][0]["token"] == entry["token"] for entry in content)
    assert all(len(entry["top_logprobs"]) == 2 and entry["logprob"] <= 0 for entry in content)


async def test_streamed_logprobs_are_those_of_the_whole(client: Any) -> None:
    whole = await client.chat(temperature=0, logprobs=True, top_logprobs=1, stop=".")
    chunks = await client.stream(temperature=0, logprobs=True, top_logprobs=1, stop=".")

    streamed = [
        entry["token"]
        for chunk in chunks
        if chunk["choices"][0]["logprobs"]
        for entry in chunk["choices"][0]["logprobs"]["content"]
    ]
    assert streamed == [entry["token"] for entry in whole["choices"][0]["logprobs"]["content"]]


async def test_a_seed_repeats_an_answer(client: Any) -> None:
    first, second, other = [
        await client.text("Tell me a joke", seed=seed, max_tokens=12, temperature=1.2) for seed in (5, 5, 6)
    ]

    assert first == second != other


async def test_completions_are_numbered_prompt_by_prompt(client: Any) -> None:
    answer = await client.complete(["One two", "The sky is"], n=2, max_tokens=3, temperature=0)

    texts = [choice["text"] for choice in answer["choices"]]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert texts[0] == texts[1] != texts[2] == texts[3]
    assert (answer["id"][:5], answer["object"]) == ("cmpl-", "text_completion")
    assert answer["usage"]["prompt_tokens"] == 5


async def test_a_prompt_may_be_tokens(client: Any) -> None:
    as_text = await client.complete("The sky is", max_tokens=4, temperature=0)
    as_tokens = await client.complete([504, 6376, 314], max_tokens=4, temperature=0)

    assert as_tokens["choices"] == as_text["choices"]


async def test_completions_stop_after_sixteen_tokens_unless_told(client: Any) -> None:
    answer = await client.complete("Once upon a time", temperature=0)

    assert answer["usage"]["completion_tokens"] == 16


async def test_an_echo_scores_the_prompt(client: Any) -> None:
    answer = await client.complete("The sky is", echo=True, max_tokens=0, logprobs=1)

    choice = answer["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == ("The sky is", "length")
    assert choice["logprobs"]["tokens"] == ["The", " sky", " is"]
    assert choice["logprobs"]["text_offset"] == [0, 3, 7]
    assert choice["logprobs"]["token_logprobs"][0] is None
    assert all(value < 0 for value in choice["logprobs"]["token_logprobs"][1:])
    assert answer["usage"]["completion_tokens"] == 0


async def test_a_tokens_own_logprob_is_among_the_alternatives(client: Any) -> None:
    answer = await client.complete("The sky is", echo=True, max_tokens=3, logprobs=1, temperature=2, seed=5)

    logprobs = answer["choices"][0]["logprobs"]
    told = zip(logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True)
    assert logprobs["top_logprobs"][0] is None
    assert all(top[token] == value and len(top) <= 2 for token, value, top in list(told)[1:])


async def test_a_prompt_longer_than_the_context_is_refused(client: Any) -> None:
    answer = await client.chat("word " * 1100)

    assert answer["error"]["code"] == "context_length_exceeded"
    assert "This model's maximum context length is 1024 tokens. However, " in answer["error"]["message"]
    assert "(context_length_exceeded)" in answer["error"]["message"]


async def test_more_tokens_than_the_context_has_room_for_are_refused(client: Any) -> None:
    answer = await client.chat(max_tokens=1000)

    assert answer["error"]["code"] == "context_length_exceeded"
    assert "1037 tokens (37 in the messages, 1000 in the completion)" in answer["error"]["message"]


async def test_a_refusal_has_the_apis_shape(client: Any) -> None:
    response = await client.post("chat/completions", messages=[{"role": "user", "content": "x"}], prediction={"a": 1})

    assert response.status_code == 400
    assert response.json()["error"].keys() == {"message", "type", "param", "code"}
    assert response.json()["error"]["param"] == "prediction"


async def test_another_model_is_not_found(client: Any) -> None:
    answer = await client.chat(model="gpt-5")

    assert (answer["error"]["code"], answer["error"]["param"]) == ("model_not_found", "model")


async def test_a_bias_outside_the_vocabulary_is_refused(client: Any) -> None:
    assert (await client.chat(logit_bias={"9999999": 1}))["error"]["param"] == "logit_bias"


async def test_the_model_is_listed(client: Any) -> None:
    listed = (await client.http.get("/v1/models")).json()

    assert listed["object"] == "list"
    assert [(model["id"], model["object"]) for model in listed["data"]] == [("smollm2", "model")]


async def test_an_idle_engine_is_healthy_and_empty(engine: TransformersEngine) -> None:
    await engine.check_health()

    assert engine.load() == Load(running=0, waiting=0)


async def test_an_unknown_engine_argument_is_named() -> None:
    with pytest.raises(EngineStartError, match=r"engine_args\.max_batch"):
        TransformersEngine(EngineSettings(model="m", source="embedded:smollm2", engine_args={"max_batch": 1}))


async def test_a_model_that_is_not_there_fails_in_one_line() -> None:
    engine = TransformersEngine(EngineSettings(model="m", source="/no/such/folder"))

    with pytest.raises(EngineStartError, match="no model folder"):
        await engine.start()
