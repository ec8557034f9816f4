"""What an engine can have counted for a request at most: a count beyond it is not believed.

Counts become money, so they are held against what nobody need tell us. A choice has no more completion tokens than the
client has asked for, and no request has more tokens in a choice than the context that the operator has configured. A
prompt has no more tokens than its bytes allow: each token stands for at least one, but for what the model's template
adds, and for normalising, which makes some letters into several before they are cut.

Where no limit counts an answer's tokens, and the client sets no bound, the engine is told of none, and goes on to its
context's end; elsewhere it was told ``gateway.bounds.assumed_completion_tokens``, as the client's own.
"""

from auth.usage import UNBOUNDED, Usage
from gateway.config.settings import ModelEntry
from gateway.endpoints.call import Call

LARGEST_CONTEXT = 2**24
"""In tokens. No model's is larger; where none is configured, it bounds what the request does not."""

TOKENS_PER_BYTE = 4
TEMPLATE_TOKENS = 4096
"""What a template adds to a prompt: a system prompt of its own, the schemas of its tools."""
TOKENS_PER_TEXT = 256
"""What it adds to each text: the instructions of a model that ranks stand beside every pair."""

_OF_MANY = frozenset({"pipeline"})
"""Engines whose counts are the sum over whatever other models they have asked."""


def most_of(call: Call, model: ModelEntry, body_bytes: int) -> Usage:
    """Return the largest counts that are believed.

    Args:
        call: what is asked.
        model: whose engine counts.
        body_bytes: the size of the request as the engine gets it.
    """
    # Audio is cut into pieces, each of which has the whole context and all of ``max_tokens``.
    if model.engine in _OF_MANY or model.task == "transcribe":
        return UNBOUNDED
    context = (model.context_length or LARGEST_CONTEXT) * call.choices
    # To compute a prompt alone, without any completion, an engine may have to generate one token.
    completion = context if call.max_tokens is None else max(1, call.max_tokens) * call.choices
    if not call.prompt.is_text:
        return Usage(context, min(completion, context))
    prompt = _longest(call, body_bytes)
    return Usage(min(prompt, context) if model.task == "generate" else prompt, min(completion, context))


def _longest(call: Call, body_bytes: int) -> int:
    """Return the tokens of a prompt at most; a ranked query is in its texts as often as it is read."""
    texts = call.prompt.texts
    letters = sum(map(len, texts))
    return TOKENS_PER_BYTE * max(body_bytes, letters) + TOKENS_PER_TEXT * len(texts) + TEMPLATE_TOKENS
