"""From a grammar's text to guides: first on trial in another process, then here; what is known compiles once."""

import asyncio
import json
import re
import sys
from collections import OrderedDict
from pathlib import Path

from llguidance import LLMatcher, LLTokenizer

from engines.transformers import trial
from engines.transformers.guide import Guide

MAX_GRAMMAR = 256 * 1024
"""Characters of a grammar, with the schemas in it."""

REMEMBERED = 16
"""Grammars that are kept for the next request, each of at most :data:`trial.MEMORY` at first."""

TRIAL_S = 30.0
"""How long a trial may take on a machine that is busy with something else; its CPU time has a bound of its own."""

UNSUPPORTED_KEYWORDS = re.compile(r"Unimplemented keys: \[([\w\", $]+)\]")


class GrammarRefusal(ValueError):
    """A grammar that does not compile, or not within the bounds; the message repeats nothing of it but keywords."""


class Compiler:
    """Compiles grammars for one tokenizer. Nothing is loaded or started before the first."""

    def __init__(self, serialised_tokenizer: str | None, vocabulary_size: int, eos_token_ids: frozenset[int]) -> None:
        """Prepare for a tokenizer, as :func:`trial.load_tokenizer` knows it; one without a file has no grammars."""
        self._arguments = (serialised_tokenizer or "", vocabulary_size, sorted(eos_token_ids))
        self._tokenizer: LLTokenizer | None = None
        self._trials: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._known: OrderedDict[str, LLMatcher] = OrderedDict()

    async def guides(self, grammar: str, count: int) -> list[Guide]:
        """Return as many guides at the grammar's start.

        Raises:
            GrammarRefusal: when it does not compile, or is too large or too costly.
        """
        if not self._arguments[0]:
            raise GrammarRefusal("this model's tokenizer cannot be held to one")
        if len(grammar) > MAX_GRAMMAR:
            raise GrammarRefusal(f"it is longer than {MAX_GRAMMAR} characters")
        matcher = self._known.get(grammar)
        if matcher is None:
            async with self._turn:
                matcher = self._known.get(grammar) or await self._compile(grammar)
        self._known[grammar] = matcher
        self._known.move_to_end(grammar)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return [Guide(matcher.deep_copy()) for _ in range(count)]

    async def close(self) -> None:
        """End the process of the trials."""
        trials, self._trials = self._trials, None
        if trials is not None and trials.returncode is None:
            trials.kill()
            await trials.wait()

    async def _compile(self, grammar: str) -> LLMatcher:
        if error := await self._try(grammar):
            keywords = UNSUPPORTED_KEYWORDS.search(error)
            raise GrammarRefusal(
                f"it has keywords that are not supported: {keywords[1]}" if keywords else "it does not compile"
            )
        return await asyncio.to_thread(self._compile_here, grammar)

    def _compile_here(self, grammar: str) -> LLMatcher:
        if self._tokenizer is None:
            self._tokenizer = trial.load_tokenizer(*self._arguments)
        return trial.compile_grammar(self._tokenizer, grammar)

    async def _try(self, grammar: str) -> str:
        """Return what is wrong with a grammar, if anything."""
        if self._trials is None or self._trials.returncode is not None:
            self._trials = await self._start_trials()
        trials = self._trials
        assert trials.stdin and trials.stdout  # noqa: S101 - for mypy: they are pipes
        answer = b""
        try:
            async with asyncio.timeout(TRIAL_S):
                trials.stdin.write(json.dumps(grammar).encode() + b"\n")
                await trials.stdin.drain()
                answer = await trials.stdout.readline()
        except (ConnectionError, TimeoutError):
            pass  # as if its fork had died
        finally:
            if not answer:
                await self.close()  # whoever asks next must not read what may still come
        error: str | None = json.loads(answer or b"null")
        if error is None:
            raise GrammarRefusal("it takes too much time or memory to compile")
        return error

    async def _start_trials(self) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", str(Path(trial.__file__))),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdin  # noqa: S101 - for mypy: it is a pipe
        process.stdin.write(json.dumps(self._arguments).encode() + b"\n")
        await process.stdin.drain()
        return process
