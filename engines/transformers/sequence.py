"""One choice of one answer: its tokens, its text, and when it ends."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal

from torch import Tensor

from engines.transformers.guide import Guide
from engines.transformers.sampling import Draw, Sampled, SamplingParams, report
from engines.transformers.text import Detokenizer, StopStrings

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Limits:
    """Where a choice ends, and whether the prompt's own log probabilities are told.

    Attributes:
        max_tokens: tokens generated at most; with 0 only the prompt is computed.
        stop: texts at whose first appearance the choice ends, without them.
        ignore_eos: whether the model's wish to end is overheard.
        tell_prompt: whether ``prompt_logprobs`` is filled.
    """

    max_tokens: int
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    tell_prompt: bool = False


@dataclass(frozen=True)
class Piece:
    """What a choice has to say after a step.

    Attributes:
        text: characters that are final.
        logprobs: the tokens whose text begins here, each with its offset in the choice's text, in characters.
        finish_reason: why the choice ends with this piece, if it does.
    """

    text: str
    logprobs: tuple[tuple[Sampled, int], ...] = ()
    finish_reason: FinishReason | None = None


class Sequence:
    """A prompt and what is generated after it. The scheduler's thread alone changes it, but for ``cancelled``."""

    def __init__(
        self,
        index: int,
        prompt: tuple[int, ...],
        params: SamplingParams,
        limits: Limits,
        *,
        seed: int | None,
        decode: Callable[[list[int]], str],
        eos_token_ids: frozenset[int],
        guide: Guide | None = None,
    ) -> None:
        """Begin a choice.

        Args:
            index: its number in the answer.
            prompt: token ids; the choices of one prompt pass the same object.
            params: how tokens are drawn.
            limits: where it ends.
            seed: makes its draws repeatable; the choices of one request need different ones.
            decode: turns token ids into text.
            eos_token_ids: tokens with which the model ends it.
            guide: holds it to a grammar.
        """
        self.index = index
        self.prompt = prompt
        self.tokens: list[int] = []
        self.draw = Draw(params, Random(seed), prompt, self.tokens, eos_token_ids, guide)
        self.limits = limits
        self.cancelled = False
        self.finished = False
        self.prompt_logprobs: list[Sampled] | None = [] if limits.tell_prompt else None
        self._ends = frozenset[int]() if limits.ignore_eos else eos_token_ids
        self._detokenizer = Detokenizer(decode, prompt)
        self._stops = StopStrings(limits.stop)
        self._offset = 0
        self._shown = 0
        self._pending: list[tuple[Sampled, int]] = []

    @property
    def length(self) -> int:
        """Tokens in all, prompt included."""
        return len(self.prompt) + len(self.tokens)

    @property
    def gone(self) -> bool:
        """Whether its place in the batch is free."""
        return self.finished or self.cancelled

    def append(self, sampled: Sampled) -> Piece:
        """Take the next token; return what can be shown."""
        if not self.limits.max_tokens:
            return self._finish("length")
        self.tokens.append(sampled.token)
        guide = self.draw.guide
        grammar_ends = guide and guide.follow(sampled.token)
        if sampled.token in self._ends:
            return self._finish(grammar_ends or "stop")
        if sampled.logprob is not None:
            self._pending.append((sampled, self._offset))
        text = self._detokenizer.push(sampled.token)
        self._offset += len(text)
        shown = self._stops.push(text)
        if self._stops.found:
            return self._piece(shown, "stop")
        if grammar_ends:
            return self._finish(grammar_ends, shown)
        if len(self.tokens) >= self.limits.max_tokens:
            return self._finish("length", shown)
        return self._piece(shown)

    def tell_prompt(self, logits: Tensor, start: int) -> None:
        """Note the log probabilities of the prompt's tokens after ``start``, given the logits from there on."""
        told = self.draw.params.logprobs
        following = self.prompt[start + 1 : start + 1 + len(logits)]
        if self.prompt_logprobs is not None and told is not None:
            raw = logits[: len(following)].log_softmax(-1)
            self.prompt_logprobs += report(raw, raw.new_tensor(following).long(), [told] * len(following), told)

    def _finish(self, reason: FinishReason, shown: str = "") -> Piece:
        """Return the last piece, with all that was held back in vain."""
        shown += self._stops.push(self._detokenizer.flush())
        if self._stops.found:
            return self._piece(shown, "stop")
        self.finished = True
        return Piece(shown + self._stops.flush(), tuple(self._pending), reason)

    def _piece(self, text: str, reason: FinishReason | None = None) -> Piece:
        """Return the text with the tokens that begin in it; later ones wait, or fall away with a stop string."""
        self._shown += len(text)
        begun = tuple(entry for entry in self._pending if entry[1] < self._shown)
        self._pending = self._pending[len(begun) :]
        self.finished = reason is not None
        return Piece(text, begun, reason)
