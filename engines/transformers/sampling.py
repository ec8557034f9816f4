"""The next token of every sequence in the batch, drawn as each one asks.

Everything is one tensor operation over the rows that want it, and the device is waited for once, at the end. A draw
is one uniform number from the sequence's own generator, looked up in the cumulated distribution: so a seed means the
same tokens in any batch and on any device.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import torch
from torch import Tensor

from engines.transformers.guide import Guide

GREEDY_BELOW = 1e-5
"""Temperatures below this are zero."""

BISECTIONS = 24
"""Halvings in search of the nucleus: exact to 2^-24 of the likeliest token, far faster than sorting a vocabulary."""


@dataclass(frozen=True)
class SamplingParams:
    """How tokens are drawn; the names are the API's, and the defaults change nothing."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    min_tokens: int = 0
    logprobs: int | None = None
    """How many alternatives are told with each token; ``None`` tells not even the token's own."""

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature < GREEDY_BELOW

    @property
    def penalised(self) -> bool:
        """Whether tokens that were seen before weigh differently."""
        return bool(self.presence_penalty or self.frequency_penalty) or self.repetition_penalty != 1


@dataclass
class Draw:
    """One row's wish, and what it depends on."""

    params: SamplingParams
    random: Random
    prompt: Sequence[int] = ()
    tokens: list[int] = field(default_factory=list)
    eos_token_ids: frozenset[int] = frozenset()
    guide: Guide | None = None


@dataclass(frozen=True)
class Sampled:
    """A token with its log probability under the model itself, before any of the request's wishes."""

    token: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


def sample(logits: Tensor, draws: Sequence[Draw]) -> list[Sampled]:
    """Return the next token of each row.

    Args:
        logits: the model's own, of shape [rows, vocabulary]; changed in place.
        draws: one a row.
    """
    told = max((draw.params.logprobs for draw in draws if draw.params.logprobs is not None), default=None)
    raw = None if told is None else logits.log_softmax(-1)
    adjust(logits, draws)
    constrain(logits, draws)
    tokens = logits.argmax(-1)
    rows = [row for row, draw in enumerate(draws) if not draw.params.greedy]
    if rows:
        chosen = [draws[row] for row in rows]
        tokens[rows] = pick(distribution(logits[rows], chosen), chosen)
    if raw is None or told is None:
        return [Sampled(token) for token in tokens.tolist()]
    return report(raw, tokens, [draw.params.logprobs for draw in draws], told)


def adjust(logits: Tensor, draws: Sequence[Draw]) -> None:
    """Apply biases, penalties and the ban on ending early, in place, to the rows that ask for it."""
    for row, draw in enumerate(draws):
        if draw.params.logit_bias:
            ids, biases = zip(*draw.params.logit_bias, strict=True)
            logits[row, list(ids)] += logits.new_tensor(biases)
        if len(draw.tokens) < draw.params.min_tokens and draw.eos_token_ids:
            logits[row, list(draw.eos_token_ids)] = -torch.inf
    rows = [row for row, draw in enumerate(draws) if draw.params.penalised]
    if rows:
        logits[rows] = penalise(logits[rows], [draws[row] for row in rows])


def constrain(logits: Tensor, draws: Sequence[Draw]) -> None:
    """Forbid, in place, what a row's grammar forbids."""
    guides = {row: draw.guide for row, draw in enumerate(draws) if draw.guide is not None}
    if guides:
        rows = list(guides)
        masks = torch.frombuffer(bytearray().join(guide.mask() for guide in guides.values()), dtype=torch.uint8)
        packed = masks.view(len(rows), -1, 1).to(logits.device)
        allowed = (packed >> torch.arange(8, device=logits.device) & 1).flatten(1)[:, : logits.shape[-1]]
        logits[rows] = logits[rows].where(allowed.bool(), -torch.inf)


def penalise(logits: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Return the logits with tokens made less likely that were generated (or, for repetition, prompted) before."""
    generated = torch.stack([count(draw.tokens, logits) for draw in draws])
    seen = generated + torch.stack([count(draw.prompt, logits) for draw in draws]) > 0
    repetition = column(logits, [draw.params.repetition_penalty for draw in draws])
    logits = torch.where(seen, torch.where(logits > 0, logits / repetition, logits * repetition), logits)
    frequency = column(logits, [draw.params.frequency_penalty for draw in draws])
    presence = column(logits, [draw.params.presence_penalty for draw in draws])
    return logits - frequency * generated - presence * (generated > 0)


def count(tokens: Sequence[int], like: Tensor) -> Tensor:
    """Return how often each token of the vocabulary occurs."""
    ids = torch.tensor(tokens, dtype=torch.long, device=like.device)
    return like.new_zeros(like.shape[-1]).index_add_(0, ids, like.new_ones(len(tokens)))


def distribution(logits: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Return each row's probabilities, cut as it asks by ``min_p``, ``top_k`` and ``top_p``; not normalised again."""
    probs = (logits / column(logits, [draw.params.temperature for draw in draws])).softmax(-1)
    if any(draw.params.min_p > 0 for draw in draws):
        floor = column(probs, [draw.params.min_p for draw in draws]) * probs.amax(-1, keepdim=True)
        probs = probs.where(probs >= floor, 0)
    if largest := max(draw.params.top_k for draw in draws):
        ranked = probs.topk(min(largest, probs.shape[-1])).values
        ranks = [min(draw.params.top_k or largest, ranked.shape[-1]) - 1 for draw in draws]
        floor = ranked[range(len(draws)), ranks].unsqueeze(-1)
        unlimited = torch.tensor([draw.params.top_k == 0 for draw in draws], device=probs.device).unsqueeze(-1)
        probs = probs.where(unlimited | (probs >= floor), 0)
    if any(draw.params.top_p < 1 for draw in draws):
        probs = nucleus(probs, column(probs, [draw.params.top_p for draw in draws]))
    return probs


def nucleus(probs: Tensor, top_p: Tensor) -> Tensor:
    """Return the probabilities with those outside the smallest set that holds ``top_p`` of each row set to zero.

    The set is all tokens at least as likely as some threshold; the threshold is found by halving an interval.
    """
    wanted = top_p * probs.sum(-1, keepdim=True)
    low, high = torch.zeros_like(wanted), probs.amax(-1, keepdim=True)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        enough = probs.where(probs >= middle, 0).sum(-1, keepdim=True) >= wanted
        low, high = middle.where(enough, low), high.where(enough, middle)
    return probs.where((probs >= low) | (top_p >= 1), 0)


def pick(probs: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Return one token a row, drawn with the sequence's own generator."""
    cumulated = probs.double().cumsum(-1)
    uniform = column(cumulated, [draw.random.random() for draw in draws])
    drawn = torch.searchsorted(cumulated, uniform * cumulated[:, -1:], right=True).squeeze(-1)
    return drawn.clamp(max=probs.shape[-1] - 1)


def report(raw: Tensor, tokens: Tensor, wanted: Sequence[int | None], most: int) -> list[Sampled]:
    """Return the tokens with the log probabilities that each row wants to be told."""
    own = raw.gather(-1, tokens.unsqueeze(-1)).squeeze(-1).tolist()
    best = raw.topk(most)
    alternatives = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [
        Sampled(token) if told is None else Sampled(token, logprob, tuple(zip(ids[:told], values[:told], strict=True)))
        for token, logprob, told, (ids, values) in zip(tokens.tolist(), own, wanted, alternatives, strict=True)
    ]


def column(like: Tensor, values: Sequence[float]) -> Tensor:
    """Return one value a row, in the other tensor's type and place."""
    return like.new_tensor(values).unsqueeze(-1)
