"""A model's tiktoken encoding counts as the tokenizers library does, for every text that the model can spell."""

import orjson
import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.pre_tokenizers import PreTokenizer

from gateway.prompts.byte_pairs import encoding_of

LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTE_LEVEL = pre_tokenizers.ByteLevel(add_prefix_space=False)
BYTES_ONLY = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
FAMILIES: dict[str, PreTokenizer] = {
    "GPT-2": BYTE_LEVEL,
    "SmolLM": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), BYTE_LEVEL]),
    "Llama 3": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA), "isolated"), BYTES_ONLY]),
}
CORPUS = [
    "The quick brown fox jumps over the lazy dog; it's 12:30 and we'll see 1,234,567 of them.",
    "def words(text: str) -> list[str]:\n    return [word for word in text.split() if word]\n\n\n",
    "Größe, naïveté, здравствуйте, 今日は良い天気ですね, مرحبا, 🙂🙃🎉",
    "    indented\n\t\ttabs\r\n   \n  and   spaces   ",
] * 4


def trained(pre_tokenizer: PreTokenizer) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|start|>", "<|end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=700, initial_alphabet=alphabet, special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def described(tokenizer: Tokenizer) -> tiktoken.Encoding | None:
    return encoding_of(orjson.loads(tokenizer.to_str()))


TRAINED = {name: trained(pre_tokenizer) for name, pre_tokenizer in FAMILIES.items()}
SNIPPETS = st.sampled_from(
    [*" \n\t\r'0123456789aestABZ.,!", "  ", "'ll", "\u00a0", "½", "Ⅷ", "<|end|>", "今日", "🙂", "é"]
)
TEXTS = st.one_of(
    st.text(),
    st.lists(st.one_of(SNIPPETS, st.sampled_from(CORPUS).map(lambda text: text[5:25])), max_size=30).map("".join),
)


@pytest.mark.parametrize("family", FAMILIES)
@given(text=TEXTS)
def test_it_counts_as_tokenizers_does(family: str, text: str) -> None:
    encoding = described(TRAINED[family])
    assert encoding is not None
    theirs = TRAINED[family].encode(text, add_special_tokens=False)
    assert len(encoding.encode(text, allowed_special="all")) == len(theirs)


def changed(**parts: object) -> Tokenizer:
    tokenizer = trained(BYTE_LEVEL)
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    return tokenizer


@pytest.mark.parametrize(
    "tokenizer",
    [
        changed(pre_tokenizer=pre_tokenizers.Whitespace()),
        changed(pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True)),
        changed(pre_tokenizer=pre_tokenizers.Sequence([pre_tokenizers.Split("x", "removed"), BYTES_ONLY])),
        changed(normalizer=normalizers.Lowercase()),
        changed(model=models.WordPiece({"[UNK]": 0}, unk_token="[UNK]")),
    ],
    ids=["other words", "a space in front", "a split that drops", "a normalizer", "no BPE"],
)
def test_a_tokenizer_that_tiktoken_cannot_express_has_no_encoding(tokenizer: Tokenizer) -> None:
    assert described(tokenizer) is None


def test_a_token_that_swallows_its_spaces_cannot_be_expressed() -> None:
    tokenizer = trained(BYTE_LEVEL)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    assert described(tokenizer) is None
