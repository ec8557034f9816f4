import time
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models

from gateway.prompts.tokens import COUNTED, Count, bounded, counter_of
from tests.unit.gateway.prompts.test_byte_pairs import TRAINED

MEBIBYTE = 2**20


def saved(tokenizer: Tokenizer, folder: Path) -> Path:
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def count(tmp_path: Path) -> Count:
    return counter_of(saved(TRAINED["GPT-2"], tmp_path))


def test_another_kind_of_tokenizer_is_counted_by_its_own_library(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"hello there": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.enable_truncation(1)
    tokenizer.enable_padding(length=9)
    assert counter_of(saved(tokenizer, tmp_path))("hello there") == 1


@pytest.mark.parametrize("unit", ["a", " ", "\n", "7", "!", "🙂", "ab c", "今"])
def test_no_text_takes_long(count: Count, unit: str) -> None:
    text = unit * (8 * MEBIBYTE // len(unit))
    started = time.process_time()
    assert count(text) > 0
    assert time.process_time() - started < 5


def test_a_text_that_is_cut_gains_a_token_a_cut_at_most() -> None:
    by_two = bounded(lambda text: -(-len(text) // 2))
    assert by_two("x" * 100_000) == 50_000


def test_what_lies_beyond_the_bound_is_guessed_by_its_bytes() -> None:
    nothing = bounded(lambda text: 0)
    assert nothing("x" * COUNTED) == 0
    assert nothing("x" * COUNTED + "é" * 100) == 100
