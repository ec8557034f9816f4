"""Grammars on trial: a process of its own compiles what a client sent, and may die of it in the engine's stead.

A schema of a few bytes can ask for hours or gigabytes. Here each grammar gets a fork, with bounds of CPU time and
memory; what costs more ends the fork. Run as a script, by its path, so that it loads nothing but the grammar library.

In: a line with the tokenizer, ``[serialised, vocabulary_size, eos_token_ids]``, then a grammar a line, all as JSON.
Out: a line for each grammar: ``""`` when it compiles, what is wrong with it, or ``null`` when its fork died of it.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

CPU_S = 1.0
MEMORY = 64 * 1024**2
"""Bytes; a schema of 5,000 properties takes 14 MB."""

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


def attempt(tokenizer: LLTokenizer, lark: str) -> str:
    """Compile in a fork, which may die of it; return the line to answer with."""
    reading, writing = os.pipe()
    fork = os.fork()
    if fork == 0:
        try:
            bound_this_process()
            matcher = compile_grammar(tokenizer, lark)
            matcher.compute_bitmask()
            os.write(writing, json.dumps(matcher.get_error()[:MAX_ERROR]).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        answer = said.read()
    os.waitpid(fork, 0)
    return answer or "null"


def bound_this_process() -> None:
    """Let this process die when it takes too much."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    bytes_at_most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (bytes_at_most, bytes_at_most))
    # In the middle of native code only a signal's default action, death, comes in time.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})
    signal.setitimer(signal.ITIMER_PROF, CPU_S)


def main() -> None:
    """Try one grammar after the other, until the input ends."""
    tokenizer = load_tokenizer(*json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        sys.stdout.write(attempt(tokenizer, json.loads(line)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
