"""Tokens are drawn as each row of the batch asks, whoever its neighbours are."""

from collections import Counter
from random import Random
from typing import Any

import pytest
import torch

from engines.transformers.sampling import Draw, SamplingParams, nucleus, sample

LOGITS = torch.tensor([0.0, 3.0, 2.0, 1.0, -1.0])


def draw(seed: int = 0, **params: Any) -> Draw:
    return Draw(SamplingParams(**params), Random(seed))


def token(draw: Draw) -> int:
    return sample(LOGITS.clone().unsqueeze(0), [draw])[0].token


def drawn(count: int = 300, **params: Any) -> Counter[int]:
    wish = draw(**params)
    return Counter(token(wish) for _ in range(count))


def test_temperature_zero_takes_the_likeliest_token() -> None:
    assert set(drawn(20, temperature=0)) == {1}


def test_draws_follow_the_distribution() -> None:
    counts = drawn(4000)

    expected = LOGITS.softmax(-1) * 4000
    assert all(abs(counts[i] - expected[i]) < 5 * expected[i] ** 0.5 + 5 for i in range(5))


@pytest.mark.parametrize(
    ("params", "allowed"),
    [
        ({"top_k": 2}, {1, 2}),
        ({"top_k": 1}, {1}),
        ({"top_k": 99}, {0, 1, 2, 3, 4}),
        ({"top_p": 0.6}, {1}),
        ({"top_p": 0.7}, {1, 2}),
        ({"top_p": 1e-6}, {1}),
        ({"min_p": 0.3}, {1, 2}),
        ({"min_p": 0.1, "top_k": 2, "top_p": 0.9}, {1, 2}),
    ],
)
def test_cuts_leave_only_the_likeliest(params: dict[str, Any], allowed: set[int]) -> None:
    assert set(drawn(2000, temperature=1.5, **params) if "top_k" in params else drawn(2000, **params)) == allowed


def test_the_nucleus_is_that_of_sorting() -> None:
    probs = torch.randn(8, 1000, generator=torch.Generator().manual_seed(1)).mul(3).softmax(-1)
    top_p = torch.tensor([0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99]).unsqueeze(-1)

    kept = nucleus(probs, top_p) > 0

    ranked, order = probs.sort(-1, descending=True)
    needed = ranked.cumsum(-1) - ranked < top_p
    assert torch.equal(kept, torch.zeros_like(kept).scatter(-1, order, needed))


def test_a_seed_means_the_same_tokens_in_any_batch() -> None:
    wish = {"temperature": 1.0, "top_p": 0.95}
    seeded = draw(seed=7, **wish)
    alone = [token(seeded) for _ in range(50)]

    seeded = draw(seed=7, **wish)
    others = [draw(seed=1, temperature=2.0), draw(temperature=0), draw(seed=3, top_k=2)]
    batch = [*others, seeded]
    in_company = [sample(LOGITS.repeat(4, 1), batch)[3].token for _ in range(50)]

    assert in_company == alone


def test_logprobs_are_those_of_the_model_itself() -> None:
    wish = draw(temperature=0, logprobs=2, logit_bias=((4, 100.0),))

    sampled = sample(LOGITS.clone().unsqueeze(0), [wish])[0]

    expected = LOGITS.log_softmax(-1)
    assert sampled.token == 4
    assert sampled.logprob == pytest.approx(expected[4].item())
    assert [token for token, _ in sampled.top] == [1, 2]
    assert sampled.top[0][1] == pytest.approx(expected[1].item())


def test_only_rows_that_asked_are_told_logprobs() -> None:
    rows = sample(LOGITS.repeat(3, 1), [draw(), draw(logprobs=0), draw(logprobs=3)])

    assert [row.logprob is None for row in rows] == [True, False, False]
    assert [len(row.top) for row in rows] == [0, 0, 3]


def test_a_bias_of_minus_a_hundred_bans_a_token() -> None:
    assert 1 not in drawn(300, logit_bias=((1, -100.0),))


@pytest.mark.parametrize("penalty", ["presence_penalty", "frequency_penalty"])
def test_penalties_make_generated_tokens_less_likely(penalty: str) -> None:
    wish = draw(temperature=0, **{penalty: 2.0})
    wish.tokens += [1]

    assert token(wish) == 2


def test_a_frequency_penalty_grows_with_each_occurrence() -> None:
    wish = draw(temperature=0, frequency_penalty=0.3)

    wish.tokens += [1] * 3
    assert token(wish) == 1
    wish.tokens += [1]
    assert token(wish) == 2


def test_only_repetition_minds_the_prompt() -> None:
    repetition = Draw(SamplingParams(temperature=0, repetition_penalty=2.0), Random(0), prompt=[1])
    presence = Draw(SamplingParams(temperature=0, presence_penalty=2.0), Random(0), prompt=[1])

    assert (token(repetition), token(presence)) == (2, 1)


def test_the_end_is_banned_until_enough_tokens_are_there() -> None:
    wish = Draw(SamplingParams(temperature=0, min_tokens=1), Random(0), eos_token_ids=frozenset({1}))

    assert token(wish) == 2
    wish.tokens += [2]
    assert token(wish) == 1
