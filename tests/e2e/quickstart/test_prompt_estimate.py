"""The gateway's estimate of a prompt is what the engines count."""

import asyncio
from typing import Any

import httpx
import pytest

from gateway.config.settings import Bounds, ModelEntry
from gateway.endpoints.chat import parse_chat
from gateway.prompts.estimate import Prompts
from tests.e2e.running import Raygate

SYSTEM = {"role": "system", "content": "You answer in one word."}
FRANCE = {"role": "user", "content": "What is the capital of France?"}
PARIS = {"role": "assistant", "content": "Paris."}
CODE = {"role": "user", "content": "def f(x):\n    return {'ü': x ** 2, \"今日\": 12345}\n\n# 🙂 what does it do?  "}


@pytest.mark.parametrize(
    "messages",
    [[FRANCE], [SYSTEM, FRANCE], [FRANCE, PARIS, CODE], [SYSTEM, CODE, PARIS, FRANCE], [SYSTEM, CODE] * 4],
    ids=["question", "system", "conversation", "both", "long"],
)
def test_the_estimate_is_what_the_engine_counts(
    quickstart: Raygate, http: httpx.Client, model: str, messages: list[dict[str, Any]]
) -> None:
    body = {"model": model, "messages": messages, "max_tokens": 1}
    counted = http.post("/v1/chat/completions", json=body).json()["usage"]["prompt_tokens"]
    call = parse_chat(body, Bounds())
    entry = ModelEntry(name=model, engine="vllm", source="embedded:smollm2")
    assert asyncio.run(Prompts(quickstart.home).estimate(entry, call)) == counted
