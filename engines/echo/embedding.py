"""Vectors that depend on a text's words alone: texts that share words are near each other."""

import base64
import hashlib
import math
import struct
from collections import Counter
from typing import Any

import orjson

from engines.echo.request import EmbeddingRequest, words_of

DIMENSIONS = 64


def embeddings(asked: EmbeddingRequest, model: str) -> bytes:
    """Return the API's list of embeddings."""
    texts = words_of(asked.input)
    vectors = [_vector(words, asked.dimensions or DIMENSIONS) for words in texts]
    tokens = sum(map(len, texts))
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(vector, asked.encoding_format)}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return orjson.dumps({"object": "list", "data": data, "model": model, "usage": usage})


def _vector(words: list[str], dimensions: int) -> list[float]:
    """Return the words' counts, each in a place of its own choice, as a unit vector."""
    vector = [0.0] * dimensions
    for word, count in Counter(words or [""]).items():
        vector[int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "little") % dimensions] += count
    length = math.hypot(*vector)
    return [value / length for value in vector]


def _encoded(vector: list[float], encoding: str | None) -> Any:
    """Return the vector as the request wants it: base64 is of little-endian float32."""
    if encoding != "base64":
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
