"""A model's byte-level BPE as a ``tiktoken.Encoding``, which counts several times faster than ``tokenizers`` does.

tiktoken's own encodings are downloaded when they are used. This one comes from the ``tokenizer.json`` that lies
beside the weights.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import tiktoken

_GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""How ``ByteLevel`` cuts a text into words."""

_GPT2_AND_DIGITS = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+"
"""The same after ``Digits``, which sets every digit apart, with nothing of the space before it."""


def encoding_of(tokenizer: Mapping[str, Any]) -> tiktoken.Encoding | None:
    """Return the encoding that a ``tokenizer.json`` describes; ``None`` when tiktoken cannot count alike.

    The numbers of its tokens mean nothing: tokens are ranked by the order of the merges, as BPE applies them. A byte
    that the vocabulary lacks (control characters, mostly) counts as a token, where ``tokenizers`` drops it.
    """
    model = tokenizer["model"]
    pattern = _pattern(tokenizer.get("pre_tokenizer") or {})
    added = tokenizer.get("added_tokens") or []
    if pattern is None or not _is_plain(model) or tokenizer.get("normalizer") or not all(map(_stands_alone, added)):
        return None
    ranks = _ranks(model["merges"])
    special = {token["content"]: len(ranks) + number for number, token in enumerate(added)}
    try:
        return tiktoken.Encoding("model", pat_str=pattern, mergeable_ranks=ranks, special_tokens=special)
    except ValueError:  # the pattern is not one of tiktoken's regular expressions
        return None


def _is_plain(model: Mapping[str, Any]) -> bool:
    """Say whether the model is BPE and no more than that."""
    extras = ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")
    return model.get("type") == "BPE" and not any(model.get(extra) for extra in extras)


def _stands_alone(token: Mapping[str, Any]) -> bool:
    """Say whether an added token leaves the text around it as it is."""
    return not (token.get("lstrip") or token.get("rstrip") or token.get("single_word"))


def _pattern(pre_tokenizer: Mapping[str, Any]) -> str | None:
    """Return the regular expression that cuts a text into words, if there is one."""
    match pre_tokenizer:
        case {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}:
            return _GPT2
        case {"type": "Sequence", "pretokenizers": [first, {"type": "ByteLevel", "add_prefix_space": False, **how}]}:
            return _pattern_of_two(first, use_regex=how.get("use_regex") is not False)
    return None


def _pattern_of_two(first: Mapping[str, Any], *, use_regex: bool) -> str | None:
    match first:
        case {"type": "Digits", "individual_digits": True} if use_regex:
            return _GPT2_AND_DIGITS
        case {"type": "Split", "pattern": {"Regex": str(pattern)}, "behavior": "Isolated", "invert": False}:
            return None if use_regex else pattern
    return None


def _ranks(merges: Iterable[str | list[str]]) -> dict[bytes, int]:
    """Return every token's rank: all bytes first, then what the merges make, in their order."""
    byte_of = _bytes_by_letter()
    ranks = {bytes([byte]): byte for byte in range(256)}
    for merge in merges:
        pair = merge.replace(" ", "") if isinstance(merge, str) else "".join(merge)
        ranks.setdefault(bytes(byte_of[letter] for letter in pair), len(ranks))
    return ranks


def _bytes_by_letter() -> dict[str, int]:
    """Return what each letter of a byte-level vocabulary stands for (GPT-2's ``bytes_to_unicode``, reversed)."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(256 + n): byte for n, byte in enumerate(others)}
