"""Chat that answers from documents, with a real embedding model: the echo shows the prompt that it was given."""

from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from tests.collector import Collector, attributes
from tests.e2e.running import Raygate
from tests.e2e.waiting import within
from tests.published import mistakes

CHAT = "/v1/chat/completions"


def asking(text: str, **fields: object) -> dict[str, object]:
    return {"model": "docs", "messages": [{"role": "user", "content": text}], **fields}


@pytest.mark.parametrize(
    ("question", "source", "fact"),
    [
        ("How do I make a key stop working?", "keys.md", "It stops within a second."),
        ("Why does dough get bigger?", "cooking/bread.txt", "yeast turns sugar into carbon dioxide"),
        ("Which planet has the most mass?", "astronomy.html", "Jupiter is the largest planet"),
    ],
)
def test_the_nearest_document_is_in_the_prompt_and_among_the_sources(
    sdk: OpenAI, question: str, source: str, fact: str
) -> None:
    answer = sdk.chat.completions.create(model="docs", messages=[{"role": "user", "content": question}])
    text = answer.choices[0].message.content or ""
    said, _, sources = text.partition("\n\nSources: ")
    assert fact in said
    assert sources.startswith(f"[1] {source}")


def test_the_sources_are_annotations_of_a_whole_answer(sdk: OpenAI) -> None:
    message = sdk.chat.completions.create(**asking("How do I revoke a key?")).choices[0].message  # type: ignore[call-overload]
    (first, *_) = message.annotations
    cited = first.url_citation
    assert (first.type, cited.title, cited.url) == ("url_citation", "keys.md", "keys.md")
    assert message.content[cited.start_index : cited.end_index] == "[1] keys.md"


def test_the_sources_are_annotations_of_a_whole_response(http: httpx.Client) -> None:
    asked = {"model": "docs", "input": "How do I revoke a key?"}
    answered = http.post("/v1/responses", json=asked).json()
    assert mistakes("Response", answered) == set()
    ((part,),) = (item["content"] for item in answered["output"])
    cited = part["annotations"][0]
    assert (cited["type"], cited["title"], cited["url"]) == ("url_citation", "keys.md", "keys.md")
    assert part["text"][cited["start_index"] : cited["end_index"]] == "[1] keys.md"
    assert http.get(f"/v1/responses/{answered['id']}").json()["output"] == answered["output"]


def test_a_stream_says_the_same_and_its_sources_come_last(sdk: OpenAI) -> None:
    question = asking("How do I revoke a key?")
    whole = sdk.chat.completions.create(**question)  # type: ignore[call-overload]
    chunks = list(sdk.chat.completions.create(**question, stream=True))  # type: ignore[call-overload]
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(texts) == whole.choices[0].message.content
    assert texts[-2].startswith("\n\nSources: [1] keys.md")
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "length"
    assert len(chunks) > 50


def test_a_question_that_no_document_answers_has_no_sources(http: httpx.Client) -> None:
    message = http.post(CHAT, json=asking("qwfp zxcv")).json()["choices"][0]["message"]
    assert "Sources:" not in message["content"]
    assert message["annotations"] == []


def test_the_ledger_has_the_sum_of_both_models(http: httpx.Client, sdk: OpenAI, pipelines: Raygate) -> None:
    question = "How do I revoke a key?"
    answer = http.post(CHAT, json=asking(question, max_tokens=7), headers={"x-request-id": "sum-1"})
    embedded = sdk.embeddings.create(model="minilm", input=question).usage.prompt_tokens
    usage = answer.json()["usage"]
    prompt = answer.json()["choices"][0]["message"]["content"].split("\n\nSources: ")[0]
    assert usage["completion_tokens"] == 7 == len(prompt.split())
    assert usage["prompt_tokens"] > embedded > 0
    exported = lambda: pipelines.raygate("db", "export", "--json").stdout  # noqa: E731
    assert within(10, lambda: '"sum-1"' in exported())
    (row,) = [line for line in exported().splitlines() if '"sum-1"' in line]
    assert f'"prompt_tokens": {usage["prompt_tokens"]}' in row
    assert '"completion_tokens": 7' in row


def test_each_step_is_in_the_trace_and_no_text_is(http: httpx.Client, collector: Collector) -> None:
    canary = "canary-52c1"
    question = asking(f"How do I revoke a key? {canary}", max_tokens=5)
    usage = http.post(CHAT, json=question, headers={"x-request-id": "traced-1"}).json()["usage"]
    steps = {"pipeline docs", "embeddings minilm", "nearest passages", "chat echo"}
    assert within(15, lambda: collector.of("traced-1").keys() == steps)
    spans = collector.of("traced-1")
    root = spans.pop("pipeline docs")
    assert {span.parent_span_id for span in spans.values()} == {root.span_id}
    told = {name: attributes(span) for name, span in {**spans, "root": root}.items()}
    assert told["nearest passages"]["raygate.passages.used"] >= 1
    assert told["chat echo"]["gen_ai.usage.output_tokens"] == 5
    inner = [told[name].get("gen_ai.usage.input_tokens", 0) for name in spans]
    assert told["root"]["gen_ai.usage.input_tokens"] == sum(inner) == usage["prompt_tokens"]
    assert canary.encode() not in b"".join(collector.raw)
    assert b"revoke" not in b"".join(collector.raw)


def test_a_clients_trace_goes_on_through_the_gateway(http: httpx.Client, collector: Collector) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    headers = {"x-request-id": "traced-2", "traceparent": f"00-{trace}-{parent}-01"}
    http.post(CHAT, json=asking("How do I revoke a key?", max_tokens=5), headers=headers).raise_for_status()
    assert within(15, lambda: "pipeline docs" in collector.of("traced-2"))
    root = collector.of("traced-2")["pipeline docs"]
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (trace, parent)


def test_the_index_follows_the_folder(
    http: httpx.Client, pipelines: Raygate, config: Path, folder: Path, tmp_path: Path
) -> None:
    def indexed() -> str:
        done = pipelines.raygate("index", str(folder), "--config", str(config), "--model", "docs")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def first_source() -> str:
        text = http.post(CHAT, json=asking("What do penguins eat?")).json()["choices"][0]["message"]["content"]
        return str(text.partition("\n\nSources: ")[2])

    assert "3 documents (0 new, 0 changed, 0 gone), 3 passages, of which 0" in indexed()
    (folder / "penguins.md").write_text("Penguins eat fish and krill.")
    (folder / "logo.md").write_bytes(b"\x89PNG\0")
    assert "4 documents (1 new, 0 changed, 0 gone), 4 passages, of which 1" in indexed()
    assert within(5, lambda: first_source().startswith("[1] penguins.md"))
    (folder / "penguins.md").unlink()
    (folder / "logo.md").unlink()
    assert "3 documents (0 new, 0 changed, 1 gone), 3 passages, of which 0" in indexed()
    assert within(5, lambda: "penguins.md" not in first_source())


def test_an_empty_folder_leaves_the_index_as_it_is(pipelines: Raygate, config: Path, tmp_path: Path) -> None:
    done = pipelines.raygate("index", str(tmp_path), "--config", str(config), "--model", "docs")
    assert done.returncode == 2
    assert "holds no documents" in done.stderr


def test_a_file_with_several_pipelines_needs_a_name(pipelines: Raygate, config: Path, folder: Path) -> None:
    done = pipelines.raygate("index", str(folder), "--config", str(config))
    assert done.returncode == 2
    assert "there are: docs, slow-docs" in done.stderr
