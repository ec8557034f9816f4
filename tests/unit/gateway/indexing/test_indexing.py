"""How a folder of documents becomes passages."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.base import application_name
from gateway.indexing.folder import MAX_DOCUMENT_BYTES, Document, Skipped, documents
from gateway.indexing.html import text_of_html
from gateway.indexing.indexer import BATCH, IndexFull, Recipe, carry_out, plan
from gateway.indexing.splitting import split
from objects.passages import MAX_PASSAGES, Passage, Passages, index_url, open_passages

RECIPE = Recipe("minilm", dimensions=2, passage_characters=40, overlap_characters=10)


def found(folder: Path) -> dict[str, str]:
    return {each.source: each.text for each in documents(folder) if isinstance(each, Document)}


def skipped(folder: Path) -> dict[str, str]:
    return {each.source: each.why for each in documents(folder) if isinstance(each, Skipped)}


def test_documents_are_found_in_every_folder_below_by_their_path(tmp_path: Path) -> None:
    (tmp_path / "guide").mkdir()
    (tmp_path / "guide/b.txt").write_text("two")
    (tmp_path / "a.md").write_text("one")
    (tmp_path / "c.HTML").write_text("<p>three")
    assert found(tmp_path) == {"a.md": "one", "c.HTML": "three", "guide/b.txt": "two"}


def test_hidden_files_and_other_kinds_of_files_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    for name in (".git/a.md", ".b.md", "c.py"):
        (tmp_path / name).write_text("text")
    assert list(documents(tmp_path)) == []


def test_a_name_that_cannot_be_printed_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "a\x1b[2Jb.md").write_text("text")
    assert skipped(tmp_path) == {"a?[2Jb.md": "its name cannot be printed"}


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (tmp_path / "secret.md").write_text("secret")
    (folder / "inner/real.md").write_text("real")
    (folder / "out.md").symlink_to(tmp_path / "secret.md")
    (folder / "up").symlink_to(tmp_path)
    (folder / "within.md").symlink_to(folder / "inner/real.md")
    assert found(folder) == {"inner/real.md": "real", "within.md": "real"}
    assert skipped(folder) == {"out.md": "it is a link that leads out of the folder"}


def test_what_is_no_text_is_skipped_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "binary.md").write_bytes(b"a\0b")
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    (tmp_path / "large.txt").write_bytes(b"a" * (MAX_DOCUMENT_BYTES + 1))
    (tmp_path / "gone.md").symlink_to(tmp_path / "nowhere.md")
    os.mkfifo(tmp_path / "pipe.txt")
    assert skipped(tmp_path) == {
        "binary.md": "it is not text",
        "gone.md": "No such file or directory",
        "large.txt": "it is larger than 10 MiB",
        "latin.txt": "it is not UTF-8 text",
        "pipe.txt": "it is no ordinary file",
    }


def test_a_page_is_read_as_its_reader_sees_it() -> None:
    page = (
        "<title>Keys</title><style>p {}</style><p>Make <b>a</b>\n key.<script>x()</script><ul><li>One<li>T&amp;o</ul>"
    )
    assert text_of_html(page) == "Keys\n\nMake a key.\n\nOne\n\nT&o"


def test_paragraphs_stay_whole_while_they_have_room() -> None:
    assert split("one two\n\nthree\n  \nfour", size=14, overlap=0) == ["one two\n\nthree", "four"]


def test_a_passage_begins_with_the_paragraphs_that_end_the_one_before_where_they_have_room() -> None:
    assert split("first paragraph\n\n# Two\n\nsecond one", size=24, overlap=8) == [
        "first paragraph\n\n# Two",
        "# Two\n\nsecond one",
    ]


@pytest.mark.parametrize(
    ("text", "passages"),
    [
        ("One sentence. Another one here.", ["One sentence.", "Another one here."]),
        ("words without an end go on and on", ["words without an end", "go on and on"]),
        ("x" * 45, ["x" * 20, "x" * 20, "x" * 5]),
    ],
)
def test_a_long_paragraph_is_cut_between_sentences_or_words_or_where_it_must(text: str, passages: list[str]) -> None:
    assert split(text, size=20, overlap=0) == passages


@given(st.text(alphabet="ab .\n#", max_size=400), st.integers(10, 60), st.integers(0, 60))
def test_no_passage_is_too_long_and_no_word_is_lost(text: str, size: int, overlap: int) -> None:
    passages = split(text, size, overlap)
    assert all(0 < len(passage) <= size for passage in passages)
    letters = "".join(text.split())
    assert set(letters) == set("".join("".join(passages).split()))
    if overlap == 0:
        assert "".join("".join(passages).split()) == letters


class Embedder:
    """Embeds a text as its length and a one, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []

    async def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        self.asked.append(texts)
        return [[float(len(text)), 1.0] for text in texts]


async def indexed(table: Passages, *wanted: Document, recipe: Recipe = RECIPE) -> tuple[list[str], list[str], int]:
    """Index documents; return which were new, which had changed, and how many were as before."""
    planned = plan(wanted, await table.digests(recipe.model), recipe)
    await carry_out(planned, table, recipe, Embedder())
    return [it.source for it in planned.new], [it.source for it in planned.changed], planned.kept


async def texts(table: Passages, model: str = "minilm") -> list[tuple[str, int, str]]:
    return sorted((it.source, it.ordinal, it.text) for it in await table.read(model))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return index_url(None, application_name("docs"), tmp_path)


async def test_only_what_has_changed_is_embedded_again(url: str) -> None:
    one, two = Document("one.md", "first"), Document("two.md", "second")
    async with open_passages(url) as table:
        assert await indexed(table, one, two) == (["one.md", "two.md"], [], 0)
        assert await indexed(table, one, two) == ([], [], 2)
        assert await indexed(table, one, Document("two.md", "other")) == ([], ["two.md"], 1)
        assert await texts(table) == [("one.md", 0, "first"), ("two.md", 0, "other")]


async def test_what_is_gone_from_the_folder_goes(url: str) -> None:
    async with open_passages(url) as table:
        await indexed(table, Document("one.md", "first"), Document("two.md", "second"))
        await indexed(table, Document("two.md", "second"))
        assert await texts(table) == [("two.md", 0, "second")]


@pytest.mark.parametrize(
    "other", [Recipe("minilm", 2, 41, 10), Recipe("minilm", 2, 40, 9), Recipe("minilm", 3, 40, 10)], ids=str
)
async def test_another_recipe_makes_every_passage_anew(url: str, other: Recipe) -> None:
    document = Document("one.md", "first")
    async with open_passages(url) as table:
        await indexed(table, document)
        assert await indexed(table, document, recipe=other) == ([], ["one.md"], 0)


async def test_embeddings_of_two_models_do_not_mix(url: str) -> None:
    document = Document("one.md", "first")
    async with open_passages(url) as table:
        await indexed(table, document)
        await indexed(table, document, recipe=Recipe("other", 2, 40, 10))
        assert (await texts(table), await texts(table, "other")) == ([], [("one.md", 0, "first")])


async def test_passages_are_embedded_in_batches_in_the_documents_order(url: str) -> None:
    paragraphs = [f"{'x' * 30} {number}" for number in range(BATCH + 3)]
    document = Document("one.md", "\n\n".join(paragraphs))
    embed, done = Embedder(), []
    async with open_passages(url) as table:
        await carry_out(plan([document], {}, RECIPE), table, RECIPE, embed, done.append)
        assert [text for _, _, text in await texts(table)] == paragraphs
    assert [len(batch) for batch in embed.asked] == done == [BATCH, 3]


async def test_the_version_changes_with_every_change(url: str) -> None:
    one, two = Document("one.md", "first"), Document("two.md", "second")
    versions = []
    async with open_passages(url) as table:
        for wanted in ([], [one], [one, two], [two], [Document("two.md", "other")]):
            await indexed(table, *wanted)
            versions.append(await table.version("minilm"))
        await indexed(table, Document("two.md", "other"))
        assert await table.version("minilm") == versions[-1]
    assert len(set(versions)) == len(versions)


async def test_an_index_does_not_grow_beyond_its_bound(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.indexing.indexer.MAX_PASSAGES", 1)
    async with open_passages(url) as table:
        with pytest.raises(IndexFull, match="1 passages at most"):
            await indexed(table, Document("one.md", "first"), Document("two.md", "second"))
        assert await texts(table) == [("one.md", 0, "first")]
    assert MAX_PASSAGES == 100_000


async def test_an_index_is_for_its_owner_alone(url: str, tmp_path: Path) -> None:
    async with open_passages(url) as table:
        await table.replace("minilm", "one.md", "digest", [Passage("one.md", 0, "first", b"")])
    assert (tmp_path / "indexes/model-docs.db").stat().st_mode & 0o777 == 0o600
