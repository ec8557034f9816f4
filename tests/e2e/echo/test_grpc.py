"""Over gRPC a client gets what it gets over HTTP, and pays what it pays there."""

import contextlib
import json
import sqlite3
import time
import uuid
from collections.abc import Callable
from typing import Any

import grpc
import httpx
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from gateway.grpc.chat_pb2 import ChatMessage, ChatRequest
from gateway.grpc.chat_pb2_grpc import ChatStub
from tests.e2e.figures import running
from tests.e2e.running import KEY, Raygate
from tests.e2e.waiting import within

CHAT = "/v1/chat/completions"
METADATA = [("authorization", f"Bearer {KEY}")]


def request(model: str = "echo", max_tokens: int = 3, **fields: Any) -> ChatRequest:
    message = ChatMessage(role="user", content="hello there")
    return ChatRequest(model=model, max_tokens=max_tokens, messages=[message], **fields)


def details_of(error: grpc.RpcError) -> tuple[ErrorInfo, RetryInfo]:
    info, retry = ErrorInfo(), RetryInfo()
    status = Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    for detail in status.details:
        detail.Unpack(info) or detail.Unpack(retry)
    return info, retry


@pytest.fixture
def limited(echo: Raygate) -> list[tuple[str, str]]:
    """The metadata of a key that may ask once a minute."""
    made = echo.raygate("keys", "create", f"once-{uuid.uuid4().hex}", "--limit", "requests/minute=1", "--json")
    secret = json.loads(made.stdout)["secret"]
    with echo.client(secret) as client:
        known = 0
        while known < 8:  # by both replicas
            known = known + 1 if client.get("/v1/models").status_code == 200 else 0
    return [("x-api-key", secret)]


def test_a_whole_answer_has_its_text_and_its_usage(chat: ChatStub) -> None:
    answer = chat.Complete(request(), metadata=METADATA, timeout=30)
    assert answer.choices[0].message.content == "hello there hello"
    assert (answer.model, answer.choices[0].finish_reason) == ("echo", "length")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (2, 3, 5)


def test_a_stream_ends_with_its_usage(chat: ChatStub) -> None:
    *chunks, last = chat.Stream(request(n=2), metadata=METADATA, timeout=30)
    texts = ["".join(c.delta.content for chunk in chunks for c in chunk.choices if c.index == i) for i in range(2)]
    assert texts == ["hello there hello"] * 2
    assert sorted(c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason) == ["length"] * 2
    assert (list(last.choices), last.usage.completion_tokens) == ([], 6)
    assert {chunk.id for chunk in chunks} == {last.id}


def test_chunks_come_as_they_are_generated(chat: ChatStub) -> None:
    arrivals = [time.monotonic() for _ in chat.Stream(request("slow", 50), metadata=METADATA, timeout=30)]
    assert arrivals[-1] - arrivals[0] > 0.5


def test_the_answers_metadata_is_that_of_http(chat: ChatStub, limited: list[tuple[str, str]]) -> None:
    _, call = chat.Complete.with_call(request(), metadata=[*limited, ("x-request-id", "mine-1")], timeout=30)
    told = dict(call.trailing_metadata())
    assert told["x-request-id"] == "mine-1"
    assert told["x-ratelimit-limit-requests"] == "1"
    assert told["x-ratelimit-remaining-requests"] == "0"


@pytest.mark.parametrize(
    ("metadata", "fields", "code", "told"),
    [
        ([], {}, grpc.StatusCode.UNAUTHENTICATED, {}),
        ([("authorization", "Bearer sk-wrong")], {}, grpc.StatusCode.UNAUTHENTICATED, {"code": "invalid_api_key"}),
        ([*METADATA, ("x-api-key", KEY)], {}, grpc.StatusCode.UNAUTHENTICATED, {"code": "invalid_api_key"}),
        (METADATA, {"model": "none"}, grpc.StatusCode.NOT_FOUND, {"code": "model_not_found", "param": "model"}),
        (
            METADATA,
            {"temperature": 9},
            grpc.StatusCode.INVALID_ARGUMENT,
            {"code": "invalid_value", "param": "temperature"},
        ),
    ],
    ids=["no key", "wrong key", "two keys", "unknown model", "wrong field"],
)
@pytest.mark.parametrize("method", ["Complete", "Stream"])
def test_a_refusal_says_why(
    chat: ChatStub,
    method: str,
    metadata: list[tuple[str, str]],
    fields: dict[str, Any],
    code: grpc.StatusCode,
    told: dict[str, str],
) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        answer = getattr(chat, method)(request(**fields), metadata=metadata, timeout=30)
        next(answer)
    assert raised.value.code() is code
    assert dict(details_of(raised.value)[0].metadata) == {"type": "invalid_request_error", **told}


def test_a_limit_is_one_limit_over_both_protocols(
    echo: Raygate, chat: ChatStub, limited: list[tuple[str, str]]
) -> None:
    ((_, secret),) = limited
    with echo.client(secret) as client:
        body = {"model": "echo", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 1}
        assert client.post(CHAT, json=body).status_code == 200
    with pytest.raises(grpc.RpcError) as raised:
        chat.Complete(request(), metadata=limited, timeout=30)
    info, retry = details_of(raised.value)
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert info.reason == "RATE_LIMIT_EXCEEDED"
    assert 0 < retry.retry_delay.seconds <= 60


def leave(chat: ChatStub) -> None:
    call = chat.Stream(request("slow", 2000), metadata=METADATA, timeout=30)
    next(call)
    call.cancel()


def leave_before_the_answer(chat: ChatStub) -> None:
    call = chat.Complete.future(request("slow", 2000), metadata=METADATA, timeout=30)
    with contextlib.suppress(grpc.FutureTimeoutError):
        call.result(timeout=0.5)
    call.cancel()


def miss_the_deadline(chat: ChatStub) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        chat.Complete(request("slow", 2000), metadata=METADATA, timeout=0.5)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("go", [leave, leave_before_the_answer, miss_the_deadline])
def test_when_a_client_leaves_its_engine_stops_within_a_second(
    http: httpx.Client, chat: ChatStub, go: Callable[[ChatStub], None]
) -> None:
    assert within(5, lambda: running(http, "slow") == 0)
    go(chat)
    assert within(1, lambda: running(http, "slow") == 0)


def rows(echo: Raygate) -> dict[str, dict[str, Any]]:
    """Return the ledger's rows by request id, without what differs from request to request."""
    differing = {"id", "request_id", "replica", "created_at", "queued_s", "ttft_s", "total_s"}
    with contextlib.closing(sqlite3.connect(echo.home / "raygate.db")) as database:
        database.row_factory = sqlite3.Row
        found = [dict(row) for row in database.execute("SELECT * FROM requests")]
    return {row["request_id"]: {name: row[name] for name in row if name not in differing} for row in found}


@pytest.mark.parametrize("stream", [True, False])
def test_the_ledger_has_the_same_row_as_over_http(
    echo: Raygate, http: httpx.Client, chat: ChatStub, stream: bool
) -> None:
    over_http, over_grpc = uuid.uuid4().hex, uuid.uuid4().hex
    body = {
        "model": "echo",
        "messages": [{"role": "user", "content": "hello there"}],
        "max_tokens": 3,
        "user": "alice",
        "metadata": {"team": "x"},
        "stream": stream,
    }
    assert http.post(CHAT, json=body, headers={"x-request-id": over_http}).status_code == 200
    asked = request(user="alice", metadata={"team": "x"})
    metadata = [*METADATA, ("x-request-id", over_grpc)]
    list(chat.Stream(asked, metadata=metadata)) if stream else chat.Complete(asked, metadata=metadata)
    assert within(3, lambda: {over_http, over_grpc} <= set(rows(echo)))
    written = rows(echo)
    assert written[over_grpc] == written[over_http]
    assert (written[over_grpc]["streamed"], written[over_grpc]["completion_tokens"]) == (stream, 3)


def test_a_client_that_leaves_pays_for_what_was_generated(echo: Raygate, chat: ChatStub) -> None:
    request_id = uuid.uuid4().hex
    call = chat.Stream(request("slow", 2000), metadata=[*METADATA, ("x-request-id", request_id)])
    contents = (choice.delta.content for chunk in call for choice in chunk.choices)
    while not next(contents):
        pass
    call.cancel()
    assert within(3, lambda: request_id in rows(echo))
    row = rows(echo)[request_id]
    assert row["status"] == 499
    assert 1 <= row["completion_tokens"] < 100
