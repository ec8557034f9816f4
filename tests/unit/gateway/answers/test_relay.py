"""Bytes from an engine to a client."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator

import orjson
from hypothesis import given
from hypothesis import strategies as st

from gateway.answers.answer import EngineLost
from gateway.answers.choices import DONE, ChatStream
from gateway.answers.relay import KEEP_ALIVE, Stream, Usage


def event(**choice: object) -> bytes:
    return b"data: " + orjson.dumps({"id": "c", "choices": [choice]}) + b"\n\n"


ROLE = event(index=0, delta={"role": "assistant", "content": ""}, finish_reason=None)
WORD = event(index=0, delta={"content": "wörd"}, finish_reason=None)
STOP = event(index=0, delta={}, finish_reason="stop")
COUNTED = {
    "prompt_tokens": 3,
    "completion_tokens": 2,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
USAGE = b"data: " + orjson.dumps({"choices": [], "usage": COUNTED}) + b"\n\n"
WHOLE = ROLE + WORD + WORD + STOP + USAGE + DONE


def reader(chunks: list[bytes], then: Exception | None = None) -> Callable[[], Awaitable[bytes]]:
    left: Iterator[bytes] = iter(chunks)

    async def read() -> bytes:
        chunk = next(left, b"")
        if not chunk and then is not None:
            raise then
        return chunk

    return read


async def relayed(stream: Stream, chunks: list[bytes], then: Exception | None = None) -> list[bytes]:
    sent: list[bytes] = []

    async def send(events: bytes) -> None:
        sent.append(events)

    await stream.relay(reader(chunks, then), send, keep_alive_s=0)
    return sent


@given(st.lists(st.integers(0, len(WHOLE)), max_size=40))
def test_only_whole_events_leave_wherever_the_network_cuts(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(WHOLE)]
    chunks = [WHOLE[a:b] for a, b in itertools.pairwise(places) if a != b]
    sent = asyncio.run(relayed(ChatStream(include_usage=True), chunks))
    assert b"".join(sent) == WHOLE
    assert all(part.endswith(b"\n\n") for part in sent)


async def test_the_usage_chunk_is_read_and_kept_from_a_client_that_did_not_ask() -> None:
    stream = ChatStream(include_usage=False)
    sent = await relayed(stream, [WHOLE])
    assert b"".join(sent) == ROLE + WORD + WORD + STOP + DONE
    assert stream.usage == Usage(prompt_tokens=3, completion_tokens=2)
    assert stream.finish_reason == "stop"


async def test_a_stream_that_breaks_off_ends_with_an_error_event() -> None:
    stream = ChatStream(include_usage=False)
    sent = await relayed(stream, [ROLE + WORD], then=EngineLost())
    assert sent[-1].startswith(b'data: {"error":{')
    assert sent[-1].endswith(DONE)
    assert stream.error is not None


async def test_a_stream_that_ends_without_done_is_no_success() -> None:
    stream = ChatStream(include_usage=False)
    sent = await relayed(stream, [ROLE + WORD + STOP])
    assert b'"error"' in sent[-1]
    assert stream.error is not None


async def test_an_engines_own_error_event_is_mended_into_the_contract() -> None:
    stream = ChatStream(include_usage=False)
    error = (
        b'data: {"error": {"message": "EngineDeadError: see stack", "type": "InternalServerError", "code": 500}}\n\n'
    )
    sent = await relayed(stream, [ROLE, error, DONE])
    body = orjson.loads(sent[-1].split(b"\n\n")[0].removeprefix(b"data: "))
    assert body["error"]["code"] == "internal_error"
    assert b"stack" not in sent[-1]
    assert b"".join(sent).count(DONE) == 1


async def test_an_aborted_choice_is_an_error_and_not_a_finish_reason() -> None:
    stream = ChatStream(include_usage=False)
    sent = await relayed(stream, [ROLE, event(index=0, delta={}, finish_reason="abort"), DONE])
    assert b"abort" not in b"".join(sent)
    assert b'"error"' in sent[-1]


async def test_repetition_leaves_as_stop() -> None:
    sent = await relayed(
        ChatStream(include_usage=False), [ROLE, event(index=0, delta={}, finish_reason="repetition"), DONE]
    )
    assert b'"finish_reason":"stop"' in b"".join(sent)


async def test_text_that_looks_like_the_protocol_passes_untouched() -> None:
    tricky = event(
        index=0, delta={"content": '"choices":[] "finish_reason":"abort" data: {"error" [DONE]'}, finish_reason=None
    )
    sent = await relayed(ChatStream(include_usage=False), [tricky + STOP + DONE])
    assert b"".join(sent) == tricky + STOP + DONE


async def test_a_silent_engine_is_bridged_by_comments() -> None:
    sent: list[bytes] = []
    company = asyncio.Event()

    async def read() -> bytes:
        await company.wait()
        return STOP + DONE

    async def send(events: bytes) -> None:
        sent.append(events)
        company.set()

    await ChatStream(include_usage=False).relay(read, send, keep_alive_s=0.01)
    assert sent[0] == KEEP_ALIVE
    assert sent[-1] == STOP + DONE


async def test_nothing_is_read_after_done() -> None:
    async def read() -> bytes:
        chunks.append(b"")
        return STOP + DONE

    async def send(_: bytes) -> None: ...

    chunks: list[bytes] = []
    await ChatStream(include_usage=False).relay(read, send, keep_alive_s=0)
    assert len(chunks) == 1


async def test_a_last_delta_and_the_reason_to_finish_leave_apart() -> None:
    last = event(index=0, delta={"content": "."}, finish_reason="stop")
    sent = await relayed(ChatStream(include_usage=False), [ROLE + last + DONE])
    *_, delta, finish, done, _ = b"".join(sent).split(b"\n\n")
    assert orjson.loads(delta[6:])["choices"] == [{"index": 0, "delta": {"content": "."}, "finish_reason": None}]
    assert orjson.loads(finish[6:])["choices"][0] == {
        "index": 0,
        "delta": {},
        "finish_reason": "stop",
        "logprobs": None,
    }
    assert done == DONE[:-2]


async def test_vllms_nulls_beside_the_schema_do_not_leave() -> None:
    vllm = (
        b'data: {"id":"c","choices":[{"index":0,"delta":{"content":",\\"token_ids\\":null"},"finish_reason":null,'
        b'"token_ids":null}],"prompt_token_ids":null,"prompt_text":null}\n\n'
    )
    sent = b"".join(await relayed(ChatStream(include_usage=False), [vllm + STOP + DONE]))
    chunk = orjson.loads(sent.split(b"\n\n")[0][6:])
    content = {"content": ',"token_ids":null'}
    assert chunk == {"id": "c", "choices": [{"index": 0, "delta": content, "finish_reason": None}]}


async def test_logprobs_of_a_chunk_have_a_refusal_once() -> None:
    token = {"token": '"logprobs":{"content":', "logprob": -0.5, "bytes": None, "top_logprobs": []}
    for told in ({"content": [token]}, {"content": [token], "refusal": None}):
        word = event(index=0, delta={"content": "a"}, logprobs=told, finish_reason=None)
        sent = b"".join(await relayed(ChatStream(include_usage=False), [word + STOP + DONE]))
        assert sent.count(b'"refusal":') == 1
        chunk = orjson.loads(sent.split(b"\n\n")[0][6:])
        assert chunk["choices"][0]["logprobs"] == {"content": [token], "refusal": None}


async def test_a_tool_call_opens_with_its_id_and_empty_arguments() -> None:
    call = {"id": "chatcmpl-tool-1f", "type": "function", "index": 0, "function": {"name": "f"}}
    more = event(index=0, delta={"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}, finish_reason=None)
    first = event(index=0, delta={"content": None, "tool_calls": [call]}, finish_reason=None)
    sent = b"".join(await relayed(ChatStream(include_usage=False), [first + more + DONE]))
    opened, told, done, _ = sent.split(b"\n\n")
    (given,) = orjson.loads(opened[6:])["choices"][0]["delta"]["tool_calls"]
    assert given == {"id": "call_1f", "type": "function", "index": 0, "function": {"name": "f", "arguments": ""}}
    assert told + b"\n\n" == more
    assert done == DONE[:-2]


async def test_vllms_stop_reason_does_not_leave() -> None:
    for reason in (b"null", b"2", b'"a\\"}b"'):
        end = STOP.replace(b'"stop"', b'"stop","stop_reason":' + reason)
        sent = await relayed(ChatStream(include_usage=False), [ROLE + end + DONE])
        assert b"".join(sent) == ROLE + STOP + DONE


async def test_a_chunk_without_choices_and_without_a_count_wipes_no_usage() -> None:
    stream = ChatStream(include_usage=True)
    told = b"".join(await relayed(stream, [ROLE + WORD + STOP + USAGE + b'data: {"choices":[],"x":1}\n\n' + DONE]))
    assert stream.usage == Usage(3, 2)
    assert told == ROLE + WORD + STOP + USAGE + DONE


async def test_an_end_without_a_delta_is_an_end_all_the_same() -> None:
    stream = ChatStream()
    told = b"".join(await relayed(stream, [ROLE + event(index=0, finish_reason="stop") + DONE]))
    assert (stream.finish_reason, stream.error) == ("stop", None)
    assert b'"delta":{}' in told
