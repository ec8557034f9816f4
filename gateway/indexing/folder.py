"""Reads the documents of a folder, and says of the others why not."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.indexing.html import text_of_html

SUFFIXES = frozenset({".md", ".txt", ".rst", ".html", ".htm"})
"""What documents are called; other files are passed over without a word."""

MAX_DOCUMENT_BYTES = 10 * 2**20
MAX_FOLDER_CHARACTERS = 200_000_000

MAX_SOURCE = 1024
"""Characters of a document's path below the folder."""


@dataclass(frozen=True)
class Document:
    """A document: its path below the folder, with slashes, and what it says."""

    source: str
    text: str


@dataclass(frozen=True)
class Skipped:
    """A file that should have been a document, and why it is none."""

    source: str
    why: str


def documents(folder: Path) -> Iterator[Document | Skipped]:
    """Yield the documents of a folder and of the folders in it, in the order of their names.

    Hidden files and folders are passed over, and so are links to folders.
    """
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(place, name)
            if path.suffix.lower() in SUFFIXES and not name.startswith("."):
                yield _read(path, folder)


class _NoDocument(Exception):
    """The message says why."""


def _read(path: Path, folder: Path) -> Document | Skipped:
    source = path.relative_to(folder).as_posix()
    try:
        return Document(source, _text(path, folder, source))
    except _NoDocument as error:
        return Skipped("".join(each if each.isprintable() else "?" for each in source[:MAX_SOURCE]), str(error))


def _text(path: Path, folder: Path, source: str) -> str:
    if len(source) > MAX_SOURCE:
        raise _NoDocument("its name is too long")
    if not source.isprintable():
        raise _NoDocument("its name cannot be printed")
    try:
        target = path.resolve(strict=True)
        if not target.is_relative_to(folder.resolve()):
            raise _NoDocument("it is a link that leads out of the folder")
        if not target.is_file():
            raise _NoDocument("it is no ordinary file")
        with target.open("rb") as file:
            raw = file.read(MAX_DOCUMENT_BYTES + 1)
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _NoDocument("it is not UTF-8 text") from None
    except OSError as error:
        raise _NoDocument(error.strerror or "it cannot be read") from None
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise _NoDocument(f"it is larger than {MAX_DOCUMENT_BYTES // 2**20} MiB")
    if "\0" in text:
        raise _NoDocument("it is not text")
    return text_of_html(text) if path.suffix.lower() in {".html", ".htm"} else text
