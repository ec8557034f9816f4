"""Requests join and leave the running batch at any step, and none changes what another one answers."""

import asyncio
import contextlib
import json
from typing import Any

import pytest
import torch

from engines.base import Load
from engines.transformers.engine import TransformersEngine
from engines.transformers.model import Model

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROMPTS = [
    "What is the capital of France?",
    "Write a haiku about rain.",
    "Count from one to ten.",
    "Why is the sky blue? Answer in one sentence.",
    "Translate 'good morning' into Spanish.",
    "Name three fruits.",
    "What is 12 times 12?",
    "Who wrote Hamlet?",
    "Tell me about the moon. " + "Be precise. " * 40,
    "Explain gravity to a child. " + "Use short words. " * 20,
    "List the primary colours.",
    "Write a limerick about a cat who likes " + "fish and " * 10 + "milk.",
    "What does HTTP stand for?",
    "Give me a synonym of happy.",
    "Where do penguins live?",
    "How many legs does a spider have?",
    "Say something in French.",
    "What colour is grass?",
]
"""More than the batch has places, of different lengths; some longer than one prefill."""


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def streamed(content: str, **fields: Any) -> bytes:
    body = {"messages": [{"role": "user", "content": content}], "stream": True, **fields}
    return json.dumps(body).encode()


async def test_an_answer_is_the_same_alone_and_in_company(client: Any) -> None:
    wish = {"temperature": 0, "max_tokens": 16}
    together = await asyncio.gather(*(client.text(prompt, **wish) for prompt in PROMPTS))

    alone = [await client.text(prompt, **wish) for prompt in PROMPTS[::3]]

    assert alone == together[::3]


async def test_a_seeded_answer_is_the_same_in_company(client: Any) -> None:
    wish = {"temperature": 1.0, "top_p": 0.9, "seed": 11, "max_tokens": 12}
    alone = await client.text("Tell me a joke", **wish)

    others = [client.text(prompt, max_tokens=8) for prompt in PROMPTS[:5]]
    together = await asyncio.gather(client.text("Tell me a joke", **wish), *others)

    assert together[0] == alone


async def test_more_requests_than_places_are_all_answered(client: Any) -> None:
    answers = await asyncio.gather(*(client.chat(max_tokens=index % 4 + 1, ignore_eos=True) for index in range(24)))

    assert [answer["usage"]["completion_tokens"] for answer in answers] == [index % 4 + 1 for index in range(24)]


async def test_the_load_is_the_schedulers_own(client: Any, engine: TransformersEngine) -> None:
    asking = asyncio.gather(*(client.chat(max_tokens=8, ignore_eos=True) for _ in range(20)))

    await until(lambda: engine.load() == Load(running=16, waiting=4))
    await asking

    assert engine.load() == Load(running=0, waiting=0)


class Caller:
    """A client of the bare ASGI app that can hang up."""

    def __init__(self, app: Any, body: bytes) -> None:
        self.sent: list[Any] = []
        self._gone = asyncio.Event()
        self._messages = [{"type": "http.request", "body": body, "more_body": False}]
        scope = {
            "type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": [], "query_string": b"",
        }  # fmt: skip
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    def hang_up(self) -> None:
        self._gone.set()

    async def _receive(self) -> Any:
        if self._messages:
            return self._messages.pop()
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)


LONG = {"max_tokens": 900, "ignore_eos": True}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("leave", [Caller.hang_up, lambda caller: caller.task.cancel()], ids=["hangs up", "cancelled"])
async def test_who_leaves_frees_the_place(engine: Any, stream: bool, leave: Any) -> None:
    caller = Caller(engine.app, streamed("Count to a million", **LONG, stream=stream))
    await until(lambda: engine.load().running == 1)

    leave(caller)

    await until(lambda: engine.load() == Load(running=0, waiting=0))
    with contextlib.suppress(asyncio.CancelledError):
        await caller.task


async def test_who_leaves_the_queue_is_never_computed(engine: Any) -> None:
    running = Caller(engine.app, streamed("Count to a million", **LONG, n=16))
    await until(lambda: engine.load().running == 16)
    queued = Caller(engine.app, streamed("Count to a million", **LONG, n=3))
    await until(lambda: engine.load().waiting == 3)

    queued.hang_up()

    await until(lambda: engine.load() == Load(running=16, waiting=0))
    running.hang_up()
    await until(lambda: engine.load() == Load(running=0, waiting=0))
    await asyncio.gather(running.task, queued.task)


async def test_whole_events_leave_in_each_send(engine: Any) -> None:
    caller = Caller(engine.app, streamed("Name three fruits.", n=4, max_tokens=6))
    await caller.task

    bodies = [message["body"] for message in caller.sent if message["type"] == "http.response.body" and message["body"]]
    assert all(body.startswith(b"data: ") and body.endswith(b"\n\n") for body in bodies)


async def test_a_failing_step_ends_its_requests_with_an_error(
    client: Any, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as broken:
        broken.setattr(Model, "last_logits", fail)
        whole = await client.post("chat/completions", messages=[{"role": "user", "content": "x"}])
        events = await client.stream("x")

    assert (whole.status_code, whole.json()["error"]["type"]) == (500, "server_error")
    assert [event["error"]["type"] for event in events] == ["server_error"]
    assert "memory" not in whole.text
    assert "Paris" in await client.text("What is the capital of France?", temperature=0)


async def test_an_engine_whose_steps_all_fail_is_not_healthy(
    client: Any, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("device lost")

    with monkeypatch.context() as broken:
        broken.setattr(Model, "last_logits", fail)
        for _ in range(3):
            await client.chat("x")

        with pytest.raises(RuntimeError):
            await engine.check_health()

    await client.chat("x", max_tokens=1)
    await engine.check_health()


async def test_a_long_prompt_in_parts_gives_the_logits_of_the_whole(smollm2: str) -> None:
    model = Model(smollm2, rows=2, dtype="float32", device="cpu")
    prompt = list(range(100, 400))

    with torch.inference_mode():
        whole = model.last_logits(0, [prompt], [0])
        model.last_logits(1, [prompt[:128]], [0])
        model.last_logits(1, [prompt[128:256]], [128])
        in_parts = model.last_logits(1, [prompt[256:]], [256])

    torch.testing.assert_close(in_parts, whole, atol=1e-3, rtol=1e-3)
