"""Splits a document into passages: whole paragraphs, as many as have room, and some of them twice.

What a passage repeats of the one before it is what its first sentence may refer to: a heading, a short paragraph.
"""

import re
from collections.abc import Iterator

_BETWEEN = "\n\n"
_GAP = re.compile(r"\n[^\S\n]*\n\s*")
_SENTENCE_ENDS = re.compile(r"[.!?:;]\s+|\n")


def split(text: str, size: int, overlap: int) -> list[str]:
    """Return the passages of a text.

    Args:
        text: the document.
        size: characters of a passage at most.
        overlap: characters of the paragraphs at a passage's end that the next one begins with, at most.
    """
    passages: list[str] = []
    current: list[str] = []
    for paragraph in _paragraphs(text, size):
        if _length([*current, paragraph]) > size:
            passages.append(_BETWEEN.join(current))
            current = _end(current, min(overlap, size - len(paragraph) - len(_BETWEEN)))
        current.append(paragraph)
    if current:
        passages.append(_BETWEEN.join(current))
    return passages


def _length(paragraphs: list[str]) -> int:
    return sum(map(len, paragraphs)) + len(_BETWEEN) * (len(paragraphs) - 1)


def _end(paragraphs: list[str], room: int) -> list[str]:
    """Return as many of the last paragraphs as have room."""
    start = len(paragraphs)
    while start and _length(paragraphs[start - 1 :]) <= room:
        start -= 1
    return paragraphs[start:]


def _paragraphs(text: str, size: int) -> Iterator[str]:
    """Yield paragraphs; one that is longer than ``size`` is cut between sentences, or words, or where it must."""
    for paragraph in _GAP.split(text):
        rest = paragraph.strip()
        while len(rest) > size:
            cut = _cut(rest, size)
            yield rest[:cut].strip()
            rest = rest[cut:].strip()
        if rest:
            yield rest


def _cut(text: str, size: int) -> int:
    ends = [found.end() for found in _SENTENCE_ENDS.finditer(text, 0, size + 1)]
    if ends and ends[-1] > size // 2:
        return ends[-1]
    space = text.rfind(" ", 1, size + 1)
    return space if space > 0 else size
