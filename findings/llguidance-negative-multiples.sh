#!/usr/bin/env bash
# Under llguidance, multipleOf forbids every negative number, also where the schema allows nothing else.
set -eu
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3.11 -m venv venv
venv/bin/pip install -q llguidance==1.7.6
timeout 60 venv/bin/python - <<'EOF'
import json
from importlib.metadata import version

from llguidance import LLMatcher, LLTokenizer

print(f"llguidance {version('llguidance')}")
TOKENIZER = LLTokenizer("byte")


def allowed(schema: dict, text: str) -> bool:
    """Say whether a model that is held to the schema can write the text, and end there."""
    matcher = LLMatcher(TOKENIZER, LLMatcher.grammar_from_json_schema(json.dumps(schema)))
    assert not matcher.is_error(), matcher.get_error()
    tokens = TOKENIZER.tokenize_str(text)
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


found = []
for schema, texts in [
    ({"type": "integer"}, ("10", "-10")),
    ({"type": "integer", "multipleOf": 5}, ("10", "12", "-10")),
    ({"type": "integer", "multipleOf": 5, "minimum": -20, "maximum": 20}, ("10", "-10")),
    ({"type": "number", "multipleOf": 0.5}, ("1.5", "-1.5")),
]:
    answers = {text: allowed(schema, text) for text in texts}
    print(f"{json.dumps(schema)}: {answers}")
    found.append([*answers.values()])
# 12 is no multiple of 5, and rightly refused; -10 and -1.5 are multiples, and refused too.
assert found == [[True, True], [True, False, False], [True, False], [True, False]], "the behaviour has changed"
EOF
