"""Other servers as they were reported to be, through a running Raygate: the SDK reads on, and the books are right."""

import json
import sqlite3
from typing import Any

import httpx
import pytest
from openai import APIError, InternalServerError, OpenAI

from tests.e2e.batches.test_batches import begin, ended, ledger_of, lines_of
from tests.e2e.running import Raygate
from tests.e2e.upstreams.elsewhere import WAYS

STREAMS = [way for way in WAYS if way.startswith("stream")]
BROKEN = [way for way in WAYS if way.startswith("broken")]
STILLBORN = [way for way in WAYS if way.startswith("stillborn")]
WRONG = [way for way in WAYS if way.startswith("wrong")]


def said(way: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": way}]


def books(row: sqlite3.Row) -> tuple[Any, ...]:
    """Return what a row says of who answered, how it ended, and what it took."""
    columns = ("model", "status", "error_code", "finish_reason", "prompt_tokens", "completion_tokens")
    return tuple(row[name] for name in columns)


@pytest.mark.parametrize("way", STREAMS)
def test_the_sdk_reads_a_chat_that_streams(upstreams: Raygate, sdk: OpenAI, way: str) -> None:
    options: Any = {"stream": True, "stream_options": {"include_usage": True}}
    raw = sdk.chat.completions.with_raw_response.create(model="zoo", messages=said(way), **options)  # type: ignore[call-overload]
    *chunks, last = raw.parse()
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (3, 2)
    assert books(upstreams.ledger_row(raw.headers["x-request-id"])) == ("zoo", 200, None, "stop", 3, 2)


@pytest.mark.parametrize("way", STREAMS)
def test_the_sdk_reads_a_text_completion_that_streams(upstreams: Raygate, sdk: OpenAI, way: str) -> None:
    raw = sdk.completions.with_raw_response.create(model="zoo", prompt=way, stream=True)
    chunks = list(raw.parse())
    assert "".join(chunk.choices[0].text for chunk in chunks) == "Hello"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert books(upstreams.ledger_row(raw.headers["x-request-id"])) == ("zoo", 200, None, "stop", 3, 2)


@pytest.mark.parametrize("way", BROKEN)
def test_the_sdk_is_told_of_a_stream_that_breaks_off(upstreams: Raygate, sdk: OpenAI, way: str) -> None:
    raw = sdk.chat.completions.with_raw_response.create(model="either", messages=said(way), stream=True)
    with pytest.raises(APIError) as failure:
        list(raw.parse())
    assert "SECRET" not in str(failure.value.body)
    row = upstreams.ledger_row(raw.headers["x-request-id"])
    assert (row["model"], row["error_code"]) == ("zoo", failure.value.code)


@pytest.mark.parametrize("way", STILLBORN)
def test_a_stream_that_fails_before_it_begins_is_answered_by_the_next(
    upstreams: Raygate, sdk: OpenAI, way: str
) -> None:
    raw = sdk.chat.completions.with_raw_response.create(model="either", messages=said(way), max_tokens=1, stream=True)
    chunks = list(raw.parse())
    assert {chunk.model for chunk in chunks} == {"spare"}
    assert chunks[-1].choices[0].finish_reason == "length"
    assert books(upstreams.ledger_row(raw.headers["x-request-id"]))[:4] == ("spare", 200, None, "length")


@pytest.mark.parametrize("way", WRONG)
@pytest.mark.parametrize("path", ["chat/completions", "completions"])
def test_an_answer_that_is_none_is_an_error_or_answered_by_the_next(http: httpx.Client, way: str, path: str) -> None:
    asked = {"prompt": way} if path == "completions" else {"messages": said(way)}
    alone = http.post(f"/v1/{path}", json={"model": "zoo", "max_tokens": 1, **asked})
    assert (alone.status_code, alone.json()["error"]["code"]) == (500, "internal_error")
    assert "SECRET" not in alone.text
    answered = http.post(f"/v1/{path}", json={"model": "either", "max_tokens": 1, **asked})
    assert (answered.status_code, answered.json()["model"]) == (200, "spare")


def test_the_responses_api_is_answered_by_the_next_too(sdk: OpenAI) -> None:
    response = sdk.responses.create(model="either", input="wrong by HTML", max_output_tokens=16)
    assert response.model == "spare"
    with pytest.raises(InternalServerError):
        sdk.responses.create(model="zoo", input="wrong by HTML", max_output_tokens=16)


def test_a_batch_is_answered_line_by_line(upstreams: Raygate, sdk: OpenAI) -> None:
    lines = [
        {
            "custom_id": way,
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "either", "messages": said(way), "max_tokens": 1},
        }
        for way in (*WRONG, "stream as OpenAI sends it")
    ]
    batch = ended(sdk, begin(sdk, lines))
    assert (batch.status, batch.request_counts and batch.request_counts.completed) == ("completed", len(lines))
    answers = {each["custom_id"]: each["response"]["body"]["model"] for each in lines_of(sdk, batch.output_file_id)}
    assert answers == {**dict.fromkeys(WRONG, "spare"), "stream as OpenAI sends it": "zoo"}
    rows = ledger_of(upstreams.home, batch)
    assert sorted(row["model"] for row in rows) == sorted(answers.values())
    assert "SECRET" not in json.dumps([tuple(row) for row in rows])
