"""Grammars on trial: a process of its own compiles what a client sent, and may die of it in our stead.

A schema of a few bytes can ask for hours or gigabytes. Here a grammar gets a second of CPU time and a bounded memory;
what costs more ends this process. Run as a script, by its path, so that it loads nothing but the grammar library.

In: a line with the tokenizer, ``[serialised, vocabulary_size, eos_token_ids]``, then a grammar a line, all as JSON.
Out: a line for each grammar, ``""`` when it compiles, else what is wrong with it.
"""

import json
import resource
import signal
import sys
from collections.abc import Sequence

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

CPU_S = 1.0
MEMORY = 2 * 1024**3
MAX_ERROR = 1000
"""Characters; the library repeats the grammar in some of its messages."""


def load_tokenizer(serialised: str, vocabulary_size: int, eos_token_ids: Sequence[int]) -> LLTokenizer:
    """Return the tokenizer in the grammar library's form.

    Args:
        serialised: a ``tokenizer.json``.
        vocabulary_size: columns of the model's logits.
        eos_token_ids: tokens that end a text.
    """
    return LLTokenizer(serialised, n_vocab=vocabulary_size, eos_token=list(eos_token_ids))


def compile_grammar(tokenizer: LLTokenizer, lark: str) -> LLMatcher:
    """Return a matcher at the grammar's start, or one with ``is_error()``; its later steps are bounded as well."""
    limits = LLParserLimits(
        initial_lexer_fuel=1_000_000,
        step_lexer_fuel=100_000,  # about 7 ms
        step_max_items=20_000,  # about 1 ms
        max_lexer_states=20_000,  # about 40 MB
        max_grammar_size=100_000,
        verbose_errors=False,
    )
    return LLMatcher(tokenizer, LLMatcher.grammar_from_lark(lark), log_level=0, limits=limits)


def main() -> None:
    """Try one grammar after the other, until the input ends."""
    tokenizer = load_tokenizer(*json.loads(sys.stdin.readline()))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for line in sys.stdin:
        # Nobody handles the signal: in the middle of native code only its default action, death, comes in time.
        signal.setitimer(signal.ITIMER_PROF, CPU_S)
        matcher = compile_grammar(tokenizer, json.loads(line))
        matcher.compute_bitmask()
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.write(json.dumps(matcher.get_error()[:MAX_ERROR]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
