"""Counts the tokens of a text as a model does, in a time that no text can stretch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from tokenizers import Tokenizer

from gateway.prompts.byte_pairs import encoding_of

SLICE = 8192
"""Characters that are encoded at once: what BPE takes grows faster than the text where a text has no gaps, and
tiktoken's regular expressions give up on some 100,000 spaces. A cut costs a token at most."""

COUNTED = 2**20
"""Characters that are counted; what lies beyond is guessed, for encoding 10 MB of the worst takes many seconds."""

BYTES_PER_TOKEN = 2
"""Of what is guessed, so that it is rather too much: English text has 4."""

Count = Callable[[str], int]
"""Returns how many tokens a text has."""


def counter_of(folder: Path) -> Count:
    """Return what counts the tokens of the model in ``folder``: by tiktoken where it can, else by ``tokenizers``.

    Raises:
        OSError: there is no ``tokenizer.json``.
        Exception: it is damaged.
    """
    raw = (folder / "tokenizer.json").read_bytes()
    encoding = encoding_of(orjson.loads(raw))
    if encoding is not None:
        return bounded(lambda text: len(encoding.encode(text, allowed_special="all")))
    tokenizer: Any = Tokenizer.from_str(raw.decode())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return bounded(lambda text: len(tokenizer.encode(text, add_special_tokens=False)))


def bounded(count: Count) -> Count:
    """Return ``count``, slice by slice, and a guess for the rest of a very long text."""

    def counted(text: str) -> int:
        slices = (text[start : start + SLICE] for start in range(0, min(len(text), COUNTED), SLICE))
        rest = len(text[COUNTED:].encode()) // BYTES_PER_TOKEN if len(text) > COUNTED else 0
        return sum(map(count, slices)) + rest

    return counted
