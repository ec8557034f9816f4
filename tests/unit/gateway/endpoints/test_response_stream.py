"""Events of a response on their way: deltas pass as they are, what holds the response says the gateway's truth."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.keys import Key
from auth.usage import Usage
from engines.responses.events import ResponseEvents
from engines.responses.request import parse
from engines.responses.response import begun as engines_own
from gateway.answers.answer import EngineLost
from gateway.endpoints.responses.form import ResponseForm, ResponseStream, StreamErrors
from gateway.endpoints.responses.items import history, listed, prompt_of
from gateway.endpoints.responses.turn import Turn, begun
from gateway.http import errors

ASKED = {"model": "m", "input": "Hi", "metadata": {"a": "b"}}
KEY = Key("key_1", "k", "p1", "sk-", b"", (), ("*",), (), 0.0)
CHUNK = {"choices": [{"index": 0, "delta": {"content": "wörd"}, "finish_reason": None}]}
LAST: dict[str, Any] = {
    "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}},
}


def turn(**fields: Any) -> Turn:
    return Turn(begun({**ASKED, **fields}), KEY, listed("Hi"), keep_s=60)


def engine() -> tuple[bytes, bytes, bytes]:
    """Return the events that an engine opens, goes on with, and ends."""
    request, _ = parse(ASKED)
    events = ResponseEvents(engines_own(request))
    opening = events.begin() + events.tell(CHUNK)
    delta = events.tell(CHUNK)
    return opening, delta, events.tell(LAST) + events.end()


def relayed(stream: ResponseStream, chunks: list[bytes], then: Exception | None = None) -> list[bytes]:
    sent: list[bytes] = []

    async def send(events: bytes) -> None:
        sent.append(events)

    async def run() -> None:
        await stream.relay(reader(chunks, then), send, keep_alive_s=0)

    asyncio.run(run())
    return sent


def reader(chunks: list[bytes], then: Exception | None) -> Callable[[], Awaitable[bytes]]:
    left = iter(chunks)

    async def read() -> bytes:
        chunk = next(left, b"")
        if not chunk and then is not None:
            raise then
        return chunk

    return read


def told(events: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(event.partition(b"data: ")[2]) for event in events.split(b"\n\n")[:-1]]


def test_deltas_pass_as_they_are() -> None:
    opening, delta, ending = engine()
    sent = relayed(ResponseStream(turn()), [opening, delta, ending])

    assert sent[1] is delta


def test_every_event_that_holds_the_response_says_what_the_gateway_knows() -> None:
    made = turn(previous_response_id="resp_1")
    sent = b"".join(relayed(ResponseStream(made), list(engine())))

    responses = [event["response"] for event in told(sent) if "response" in event]
    assert len(responses) == 3
    for response in responses:
        assert (response["id"], response["previous_response_id"], response["store"]) == (made.id, "resp_1", True)
    assert made.body == responses[-1]
    assert (made.body["status"], made.body["output"][0]["content"][0]["text"]) == ("completed", "wördwörd")


def test_the_usage_is_the_engines() -> None:
    stream = ResponseStream(turn())
    relayed(stream, list(engine()))

    assert (stream.usage, stream.tokens, stream.finish_reason) == (Usage(3, 2, 1), 2, "completed")


@given(st.lists(st.integers(0, 2000), max_size=20))
def test_numbers_rise_by_one_wherever_the_network_cuts(cuts: list[int]) -> None:
    whole = b"".join(engine())
    places = [0, *sorted(cut for cut in cuts if cut < len(whole)), len(whole)]
    chunks = [whole[a:b] for a, b in itertools.pairwise(places) if a != b]

    events = told(b"".join(relayed(ResponseStream(turn()), chunks)))

    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["type"] == "response.completed"


@pytest.mark.parametrize("then", [None, EngineLost()])
def test_an_engine_that_goes_away_ends_the_stream_as_failed(then: Exception | None) -> None:
    made = turn()
    opening, delta, _ = engine()
    stream = ResponseStream(made)
    events = told(b"".join(relayed(stream, [opening, delta], then)))

    assert (events[-1]["type"], events[-1]["sequence_number"]) == ("response.failed", len(events) - 1)
    assert (made.body["status"], made.body["error"]["code"]) == ("failed", "server_error")
    assert stream.error is not None and stream.error.status == 500


def test_nothing_follows_the_end() -> None:
    opening, delta, ending = engine()
    sent = b"".join(relayed(ResponseStream(turn()), [opening + ending + delta, delta]))

    assert told(sent)[-1]["type"] == "response.completed"


def test_c2_an_error_that_is_no_engines_is_a_flat_event_with_the_next_number() -> None:
    made = turn()
    ResponseStream(made).mended(engine()[0])

    (event,) = told(StreamErrors(made).event(errors.timeout(3)))

    assert set(event) == {"type", "sequence_number", "code", "message", "param"}
    assert (event["type"], event["code"], event["sequence_number"]) == ("error", "timeout", made.events)


def test_a_whole_answer_becomes_the_turns() -> None:
    made = turn(store=False)
    _, _, ending = engine()
    whole = ResponseForm(made).whole(told(ending)[-1]["response"])

    assert (whole.body["id"], whole.body["store"], whole.usage) == (made.id, False, Usage(3, 2, 1))


def test_what_was_said_is_sent_to_engines_without_ids_and_thoughts() -> None:
    made = turn()
    relayed(ResponseStream(made), list(engine()))
    made.body["output"].insert(0, {"type": "reasoning", "id": "rs_1", "summary": []})

    user, assistant = history([made.stored()])

    assert user == {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
    assert (assistant["role"], assistant["content"][0]["text"]) == ("assistant", "wördwörd")
    assert not {"id", "status"} & assistant.keys()


def test_a_prompt_is_all_that_the_model_reads() -> None:
    items: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "input_text", "text": "one"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "two"},
        {"type": "function_call_output", "call_id": "c", "output": "three"},
    ]
    prompt = prompt_of("zero", items, [{"type": "function", "name": "f"}])

    assert list(prompt.texts) == ["zero", "one", "f", "two", "three"]
    assert [message["role"] for message in prompt.messages] == ["system", "user", "assistant", "tool"]
    assert '"name":"f"' in prompt.tools


def test_a_stored_response_expires() -> None:
    assert turn().stored().expires_at == pytest.approx(time.time() + 60, abs=2)
