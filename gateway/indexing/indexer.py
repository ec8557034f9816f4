"""Brings a table of passages to what a folder says: embeds what is new or has changed, and drops what is gone."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gateway.indexing.folder import Document
from gateway.indexing.splitting import split
from objects.passages import MAX_PASSAGES, Passage, Passages

BATCH = 32
"""Passages that are embedded with one request."""

Embed = Callable[[Sequence[str]], Awaitable[list[list[float]]]]
"""Returns the embeddings of texts, in their order."""


class IndexFull(Exception):
    """The documents have more passages than an index holds."""


@dataclass(frozen=True)
class Recipe:
    """How passages are made; a document that was made otherwise is made again.

    Attributes:
        model: embeds them.
        dimensions: of its embeddings.
        passage_characters: of a passage at most.
        overlap_characters: of a passage that the next one may begin with.
    """

    model: str
    dimensions: int
    passage_characters: int
    overlap_characters: int

    def digest(self, document: Document) -> str:
        """Return what changes when the document's passages would."""
        recipe = f"{self.model}\n{self.dimensions} {self.passage_characters} {self.overlap_characters}\n"
        return hashlib.sha256((recipe + document.text).encode()).hexdigest()

    def split(self, document: Document) -> list[str]:
        """Return the texts of the document's passages."""
        return split(document.text, self.passage_characters, self.overlap_characters)


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        new, changed: documents to embed.
        kept: how many are in the table as they are.
        gone: sources that are in the table alone.
    """

    new: Sequence[Document]
    changed: Sequence[Document]
    kept: int
    gone: Sequence[str]


def plan(documents: Sequence[Document], known: dict[str, str], recipe: Recipe) -> Plan:
    """Return what makes ``known``, the digests in the table by source, into ``documents``."""
    new = [document for document in documents if document.source not in known]
    old = [document for document in documents if document.source in known]
    changed = [document for document in old if known[document.source] != recipe.digest(document)]
    gone = sorted(known.keys() - {document.source for document in documents})
    return Plan(new, changed, len(old) - len(changed), gone)


async def carry_out(
    plan: Plan, table: Passages, recipe: Recipe, embed: Embed, done: Callable[[int], None] = lambda _: None
) -> None:
    """Do what is planned, a document at a time: what is broken off goes on from there the next time.

    Args:
        plan: what to do.
        table: where passages are kept.
        recipe: how they are made.
        embed: asks the embedding model.
        done: is told of passages that have been embedded.

    Raises:
        IndexFull: there are too many.
    """
    await table.remove(plan.gone)
    for document in (*plan.new, *plan.changed):
        texts = recipe.split(document)
        if await table.count(recipe.model) + len(texts) > MAX_PASSAGES:
            raise IndexFull(f"an index holds {MAX_PASSAGES} passages at most, and these documents have more")
        passages: list[Passage] = []
        for start in range(0, len(texts), BATCH):
            batch = texts[start : start + BATCH]
            for text, embedding in zip(batch, await embed(batch), strict=True):
                passages.append(Passage(document.source, len(passages), text, np.asarray(embedding, "<f4").tobytes()))
            done(len(batch))
        await table.replace(recipe.model, document.source, recipe.digest(document), passages)
