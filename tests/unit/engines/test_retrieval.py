"""Retrieval-augmented chat: which passages go into the prompt, and what is said of them."""

import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.base import EngineSettings, application_name
from engines.echo.engine import EchoEngine
from engines.pipeline.nearest import Neighbours
from engines.pipeline.prompt import augmented, sources, within
from engines.pipeline.retrieval import Index, Retrieval
from objects.passages import Passage, Passages, index_url, open_passages
from tests.echoes import Cluster
from tests.postgres import running_server


def passage(source: str, text: str = "", vector: Sequence[float] = (1, 0), ordinal: int = 0) -> Passage:
    return Passage(source, ordinal, text, np.asarray(vector, "<f4").tobytes())


def vector(*values: float) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)


def test_the_nearest_by_angle_come_first_whatever_their_length() -> None:
    among = Neighbours.of(
        [passage("far", vector=(0, 9)), passage("near", vector=(0.1, 0)), passage("mid", vector=(5, 5))]
    )
    found = among.nearest(vector(3, 0), count=2, min_score=-1)
    assert [each.passage.source for each in found] == ["near", "mid"]
    assert found[0].score == pytest.approx(1)
    assert found[1].score == pytest.approx(2**-0.5)


def test_they_are_those_of_a_full_comparison() -> None:
    random = np.random.default_rng(7)
    matrix = random.normal(size=(500, 16))
    question = random.normal(size=16).astype(np.float32)
    among = Neighbours.of([passage(str(i), vector=row) for i, row in enumerate(matrix)])
    cosines = matrix @ question / np.linalg.norm(matrix, axis=1) / np.linalg.norm(question)
    expected = [str(i) for i in np.argsort(-cosines)[:9]]
    assert [each.passage.source for each in among.nearest(question, 9, -1)] == expected


def test_what_is_too_far_is_not_near() -> None:
    among = Neighbours.of([passage("near"), passage("far", vector=(-1, 0))])
    assert [each.passage.source for each in among.nearest(vector(1, 0), 5, 0.2)] == ["near"]


def test_among_nothing_there_is_nothing() -> None:
    assert Neighbours.of([]).nearest(vector(1, 0), 5, 0.2) == []


def test_a_vector_of_zeros_is_near_to_nothing() -> None:
    among = Neighbours.of([passage("a", vector=(0, 0)), passage("b")])
    assert among.nearest(vector(0, 0), 5, 0.2) == []


def test_passages_of_one_document_share_its_number() -> None:
    cited = within([passage("a", "one"), passage("b", "two"), passage("a", "three")], characters=100)
    assert [(each.number, each.passage.text) for each in cited] == [(1, "one"), (2, "two"), (1, "three")]


def test_passages_are_taken_while_they_have_room() -> None:
    texts = [each.passage.text for each in within([passage("a", "1234"), passage("b", "5678"), passage("c", "9")], 7)]
    assert texts == ["1234"]


def test_of_a_first_passage_that_has_no_room_the_beginning_is_taken() -> None:
    assert [each.passage.text for each in within([passage("a", "12345678")], 5)] == ["12345"]


SYSTEM = {"role": "system", "content": "Be brief."}
EARLIER = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


def test_the_passages_stand_before_the_last_question_and_nothing_else_changes() -> None:
    messages = [SYSTEM, *EARLIER, {"role": "user", "content": "Why?"}]
    *before, last = augmented(messages, within([passage("a.md", "Because.")], 100))
    assert before == [SYSTEM, *EARLIER]
    assert "[1] a.md\nBecause." in last["content"]
    assert last["content"].endswith("Question: Why?")


def test_braces_in_a_passage_are_only_braces() -> None:
    (message,) = augmented([{"role": "user", "content": "{x}"}], within([passage("a", "{passages} {0}")], 100))
    assert "{passages} {0}" in message["content"]
    assert message["content"].endswith("{x}")


def test_a_question_in_parts_keeps_its_parts() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    (message,) = augmented([{"role": "user", "content": [image]}], within([passage("a", "text")], 100))
    assert message["content"][0]["type"] == "text"
    assert message["content"][1:] == [image]


def test_the_sources_name_each_document_once_and_cite_where_they_do() -> None:
    delta = sources(within([passage("a.md", "x"), passage("b.md", "y"), passage("a.md", "z")], 100))
    assert delta.text == "\n\nSources: [1] a.md, [2] b.md"
    assert [delta.text[each.start : each.end] for each in delta.citations] == ["[1] a.md", "[2] b.md"]


DOCUMENTS = {"keys.md": "revoke the key", "bread.md": "knead the dough"}


@pytest.fixture
async def table(cluster: Cluster) -> AsyncGenerator[Passages, None]:
    async with open_passages(index_url(None, application_name("docs"), cluster.home)) as table:
        yield table


@pytest.fixture
async def cluster(tmp_path: Path) -> Cluster:
    cluster = Cluster(tmp_path)
    await cluster.add(EchoEngine(EngineSettings(model="chat", engine_args={"default_max_tokens": 80}, home=tmp_path)))
    await cluster.add(EchoEngine(EngineSettings(model="embed", home=tmp_path, task="embed")))
    return cluster


async def put(cluster: Cluster, table: Passages, source: str, text: str) -> None:
    answer = await cluster.post("embed", path="/v1/embeddings", input=text, encoding_format="float")
    embedding = answer.json()["data"][0]["embedding"]
    await table.replace("embed", source, text, [passage(source, text, embedding)])


@pytest.fixture
async def docs(cluster: Cluster, table: Passages) -> Cluster:
    for source, text in DOCUMENTS.items():
        await put(cluster, table, source, text)
    await cluster.pipeline("docs", Retrieval, {"chat": "chat", "embed": "embed"}, passages=1)
    return cluster


def asking(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


async def text_of(cluster: Cluster, question: str, **fields: Any) -> str:
    answer = await cluster.post("docs", **asking(question), **fields)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


async def test_an_answer_is_made_from_the_nearest_passage_and_names_it(docs: Cluster) -> None:
    text = await text_of(docs, "revoke key")
    assert "keys.md revoke the key" in text
    assert text.endswith("Sources: [1] keys.md")
    assert "dough" not in text


async def test_without_a_passage_that_is_near_there_are_no_sources(docs: Cluster) -> None:
    text = await text_of(docs, "quantum")
    assert "No document has anything" in text
    assert "Sources" not in text


async def test_an_answer_for_a_parser_has_no_words_behind_it(docs: Cluster) -> None:
    reach = docs.ask

    async def any_format(model: str, path: str, headers: Any, body: bytes) -> AsyncGenerator[Any, None]:
        asked = {name: value for name, value in json.loads(body).items() if name != "response_format"}
        async for part in reach(model, path, headers, json.dumps(asked).encode()):
            yield part

    docs.engines["docs"]._ask = any_format  # an echo alone writes no JSON
    assert "Sources" not in await text_of(docs, "revoke key", response_format={"type": "json_object"})
    assert "Sources" in await text_of(docs, "revoke key", response_format={"type": "text"})


@pytest.mark.parametrize("content", ["", "  ", []])
async def test_a_conversation_without_a_question_is_refused(docs: Cluster, content: Any) -> None:
    refused = await docs.post("docs", messages=[{"role": "user", "content": content}])
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "messages")


async def test_of_a_question_that_is_too_long_for_the_model_the_end_is_embedded(docs: Cluster) -> None:
    reach = docs.ask

    async def short_of_breath(model: str, path: str, headers: Any, body: bytes) -> AsyncGenerator[Any, None]:
        if model == "embed" and len(body) > 400:
            yield 400, {}
            yield b'{"error": {"message": "too long", "type": "invalid_request_error", "param": null, "code": null}}'
        else:
            async for part in reach(model, path, headers, body):
                yield part

    docs.engines["docs"]._ask = short_of_breath
    assert "Sources: [1] keys.md" in await text_of(docs, "revoke key " * 60)


async def test_a_changed_index_is_read_again(docs: Cluster, table: Passages) -> None:
    index = Index(table, "embed")
    await index.refresh()
    await put(docs, table, "moon.md", "the moon is a rock")
    await index.refresh()
    (moon,) = [each for each in await table.read("embed") if each.source == "moon.md"]
    (nearest,) = await index.nearest(np.frombuffer(moon.embedding, "<f4"), 1, 0.2)
    assert nearest.passage == moon


async def test_what_was_read_answers_while_the_table_cannot_be_read(docs: Cluster, table: Passages) -> None:
    index = Index(table, "embed")
    await index.refresh()
    index._look_at = 0.0
    (docs.home / "indexes/model-docs.db").write_bytes(b"no database")
    await table._engine.dispose()
    some = await index.nearest(vector(*[1.0] * 64), 2, -1)
    assert len(some) == 2


async def test_on_postgresql_it_is_the_same() -> None:
    with running_server() as server:
        async with open_passages(index_url(server.empty_database(), "docs", Path())) as table:
            await table.replace("embed", "a.md", "1", [passage("a.md", "one"), passage("a.md", "two", ordinal=1)])
            await table.replace("embed", "a.md", "2", [passage("a.md", "new")])
            await table.replace("embed", "b.md", "3", [passage("b.md", "other")])
            await table.remove(["b.md"])
            assert await table.digests("embed") == {"a.md": "2"}
            assert (await table.version("embed"))[0] == await table.count("embed") == 1
            assert [each.text for each in await table.read("embed")] == ["new"]
