"""Batches with the openai SDK, through everything that may happen to a cluster meanwhile."""

import contextlib
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest
from openai.types import Batch

from tests.e2e.running import KEY, Raygate, raygate, with_run_id
from tests.e2e.waiting import within
from tests.published import mistakes

CHAT = "/v1/chat/completions"


def line(custom_id: str, *, max_tokens: int = 2, model: str = "echo") -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": f"{custom_id} says so"}], "max_tokens": max_tokens}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body}


def begin(client: openai.OpenAI, lines: Sequence[dict[str, Any]], endpoint: Any = CHAT) -> Batch:
    data = "\n".join(map(json.dumps, lines)).encode()
    file = client.files.create(file=("input.jsonl", data), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint=endpoint, completion_window="24h", metadata={"for": "a test"}
    )


def ended(client: openai.OpenAI, batch: Batch, timeout_s: float = 120) -> Batch:
    def is_over() -> bool:
        return client.batches.retrieve(batch.id).status in ("completed", "failed", "cancelled", "expired")

    assert within(timeout_s, is_over)
    return client.batches.retrieve(batch.id)


def lines_of(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()] if file_id else []


def ledger_of(home: Path, batch: Batch) -> list[sqlite3.Row]:
    with contextlib.closing(sqlite3.connect(home / "raygate.db")) as database:
        database.row_factory = sqlite3.Row
        return list(database.execute("SELECT * FROM requests WHERE request_id LIKE ?", (f"{batch.id}_%",)))


@pytest.fixture
def tidy(client: openai.OpenAI) -> Iterator[None]:
    """Leave no file behind: the quota is small."""
    yield
    for file in client.files.list():
        client.files.delete(file.id)


@pytest.mark.usefixtures("tidy")
def test_a_batch_runs_from_file_to_files(batching: Raygate, client: openai.OpenAI) -> None:
    batch = begin(client, [line(f"line-{number}") for number in range(50)])
    assert (batch.status, batch.metadata) == ("validating", {"for": "a test"})
    done = ended(client, batch)
    assert done.status == "completed"
    assert done.request_counts is not None
    assert done.request_counts.model_dump() == {"total": 50, "completed": 50, "failed": 0}
    assert done.model == "echo"
    assert done.usage is not None
    assert (done.usage.input_tokens, done.usage.output_tokens) == (150, 100)
    results = lines_of(client, done.output_file_id)
    assert [result["custom_id"] for result in results] == [f"line-{number}" for number in range(50)]
    assert results[7]["response"]["body"]["choices"][0]["message"]["content"] == "line-7 says"
    assert client.files.retrieve(str(done.output_file_id)).purpose == "batch_output"
    assert client.batches.list(limit=1).data[0].id == batch.id
    rows = ledger_of(batching.home, batch)
    assert len(rows) == 50
    assert sum(row["cost"] for row in rows) == pytest.approx(0.75 * (150 * 1 + 100 * 2) / 1e6)


@pytest.mark.usefixtures("tidy")
def test_files_and_batches_fit_the_document_that_openai_publishes(batching: Raygate, client: openai.OpenAI) -> None:
    done = ended(client, begin(client, [line("one"), line("two")]))
    failed = ended(client, begin(client, [line("one", model="nope")]))

    def unfit(schema: str, path: str) -> set[str]:
        with batching.client() as http:
            return mistakes(schema, without_null(http.get(path).raise_for_status().json()))

    assert not unfit("Batch", f"/v1/batches/{done.id}")
    assert not unfit("Batch", f"/v1/batches/{failed.id}")
    assert not unfit("ListBatchesResponse", "/v1/batches")
    assert not unfit("OpenAIFile", f"/v1/files/{done.output_file_id}")
    assert not unfit("ListFilesResponse", "/v1/files")


def without_null(value: Any) -> Any:
    """Return JSON without what is null: OpenAI sends null for times to come, which its document does not tell."""
    if isinstance(value, list):
        return [without_null(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {name: without_null(one) for name, one in value.items() if one is not None}


@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/completions", {"model": "echo", "prompt": "a b", "max_tokens": 2}),
        ("/v1/responses", {"model": "echo", "input": "a b", "max_output_tokens": 2}),
        ("/v1/embeddings", {"model": "vectors", "input": ["a b", "c"], "encoding_format": "base64"}),
        (CHAT, {"model": "echo", "messages": [{"role": "user", "content": "a b"}], "max_tokens": 2, "n": 2}),
    ],
)
def test_each_endpoint_has_its_batches(client: openai.OpenAI, endpoint: str, body: dict[str, Any]) -> None:
    batch = begin(client, [{"custom_id": "one", "method": "POST", "url": endpoint, "body": body}], endpoint)
    (result,) = lines_of(client, ended(client, batch).output_file_id)
    assert result["response"]["status_code"] == 200


@pytest.mark.usefixtures("tidy")
def test_what_is_not_right_is_told_by_line(client: openai.OpenAI) -> None:
    wrong = [
        line("a"),
        line("a"),
        line("b", model="nope"),
        {**line("c"), "method": "GET"},
        {**line("d"), "url": "/v1/embeddings"},
        line("e", max_tokens=-1),
        {**line("f"), "body": {**line("f")["body"], "stream": True}},
        line("g" * 600),
        {**line("h"), "body": {**line("h")["body"], "user": "A" * 30_000}},
        {"custom_id": "i"},
    ]
    failed = ended(client, begin(client, wrong))
    assert failed.status == "failed"
    assert failed.errors is not None
    assert failed.errors.data is not None
    assert [error.line for error in failed.errors.data] == list(range(2, 11))
    assert "AAAA" not in failed.errors.model_dump_json()


@pytest.mark.usefixtures("tidy")
def test_a_batch_is_refused_that_cannot_be(client: openai.OpenAI) -> None:
    file = client.files.create(file=("input.jsonl", b"{}"), purpose="batch")
    notes = client.files.create(file=("notes.txt", b"x"), purpose="user_data")
    for arguments, kind in [
        ({"input_file_id": "file-none", "endpoint": CHAT}, openai.NotFoundError),
        ({"input_file_id": notes.id, "endpoint": CHAT}, openai.BadRequestError),
        ({"input_file_id": file.id, "endpoint": "/v1/moderations"}, openai.BadRequestError),
        ({"input_file_id": "../x", "endpoint": CHAT}, openai.BadRequestError),
    ]:
        with pytest.raises(kind):
            client.batches.create(**arguments, completion_window="24h")  # type: ignore[arg-type]


@pytest.mark.usefixtures("tidy")
def test_a_cancelled_batch_keeps_what_it_has(client: openai.OpenAI) -> None:
    batch = begin(client, [line(f"line-{number}", max_tokens=50) for number in range(200)])
    assert within(60, lambda: (counts := client.batches.retrieve(batch.id).request_counts) and counts.completed > 5)
    assert client.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    done = ended(client, batch)
    assert done.status == "cancelled"
    assert done.cancelled_at is not None
    finished, unrun = lines_of(client, done.output_file_id), lines_of(client, done.error_file_id)
    assert len(finished) + len(unrun) == 200
    assert {each["error"]["code"] for each in unrun} == {"batch_cancelled"}
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(begin_and_end(client).id)


def begin_and_end(client: openai.OpenAI) -> Batch:
    return ended(client, begin(client, [line("one")]))


def kill_everything(running: Raygate) -> None:
    """SIGKILL every process of the instance, as a power cut would."""
    run_id = running.run_id
    running.process.kill()
    for process in with_run_id(run_id):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    running.process.wait(timeout=30)


def test_a_batch_survives_the_death_of_everything(config: Path, tmp_path: Path) -> None:
    lines = [line(f"line-{number}", max_tokens=20) for number in range(240)]
    with raygate(config, tmp_path / "home") as running:
        with openai.OpenAI(base_url=running.openai_url, api_key=KEY, max_retries=0) as client:
            batch = begin(client, lines)
            assert within(
                60, lambda: (counts := client.batches.retrieve(batch.id).request_counts) and counts.completed > 40
            )
        kill_everything(running)
    time.sleep(1)
    with (
        raygate(config, tmp_path / "home") as running,
        openai.OpenAI(base_url=running.openai_url, api_key=KEY, max_retries=2) as client,
    ):
        done = ended(client, batch, timeout_s=180)
        results = lines_of(client, done.output_file_id)
    assert done.status == "completed"
    assert done.request_counts is not None
    assert done.request_counts.model_dump() == {"total": 240, "completed": 240, "failed": 0}
    assert Counter(result["custom_id"] for result in results) == Counter(each["custom_id"] for each in lines)
    paid = [row for row in ledger_of(tmp_path / "home", batch) if row["cost"]]
    assert Counter(row["request_id"] for row in paid) == Counter(f"{batch.id}_{number}" for number in range(1, 241))
    assert sum(row["completion_tokens"] for row in paid) == sum(
        result["response"]["body"]["usage"]["completion_tokens"] for result in results
    )
