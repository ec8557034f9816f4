#!/usr/bin/env bash
# tokenizers leaves out, without a word, what a byte-level vocabulary lacks; byte-level does not mean every byte.
set -eu
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3.11 -m venv venv
venv/bin/pip install -q tokenizers==0.23.3
timeout 60 venv/bin/python - <<'EOF'
import tokenizers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

print(f"tokenizers {tokenizers.__version__}")


def trained(alphabet: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["plain words, and no others"] * 9, trainer)
    return tokenizer


def round_trip(tokenizer: Tokenizer, text: str) -> str:
    return tokenizer.decode(tokenizer.encode(text).ids)


text = "no café\x07 in Zürich"
seen, every_byte = round_trip(trained([]), text), round_trip(trained(pre_tokenizers.ByteLevel.alphabet()), text)
print(f"trained on text alone:       {text!r} -> {seen!r}, no error, no unknown token")
print(f"with ByteLevel.alphabet():   {text!r} -> {every_byte!r}")
assert every_byte == text
assert seen != text and set(seen) < set(text), "the behaviour has changed"
EOF
