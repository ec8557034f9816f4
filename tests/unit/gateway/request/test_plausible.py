import pytest

from auth.usage import UNBOUNDED, Usage
from gateway.config.settings import Bounds, ModelEntry
from gateway.endpoints.call import Call
from gateway.endpoints.chat import parse_chat
from gateway.endpoints.completions import parse_completion
from gateway.endpoints.scoring import parse_rerank
from gateway.request.plausible import LARGEST_CONTEXT, TEMPLATE_TOKENS, most_of

BOUNDS = Bounds()
UPSTREAM = ModelEntry(name="m", engine="upstream")
BOUNDED = ModelEntry(name="m", engine="vllm", context_length=1000)
PICTURE = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, {"type": "text", "text": "What?"}]


def a_chat(content: object = "hi", **fields: object) -> Call:
    return parse_chat({"model": "m", "messages": [{"role": "user", "content": content}], **fields}, BOUNDS)


def test_a_choice_has_no_more_tokens_than_were_asked_for() -> None:
    assert most_of(a_chat(max_tokens=5, n=3), UPSTREAM, 100).completion_tokens == 15


def test_without_a_bound_a_choice_may_fill_the_context_whatever_was_reserved() -> None:
    assert most_of(a_chat(n=2), BOUNDED, 100).completion_tokens == 2000
    assert most_of(a_chat(), UPSTREAM, 100).completion_tokens == LARGEST_CONTEXT > BOUNDS.assumed_completion_tokens


def test_more_than_the_context_was_asked_for_and_cannot_be() -> None:
    assert most_of(a_chat(max_tokens=5000), BOUNDED, 100).completion_tokens == 1000


def test_a_prompt_has_no_more_tokens_than_its_context() -> None:
    assert most_of(a_chat("word " * 50_000), BOUNDED, 250_000).prompt_tokens == 1000


@pytest.mark.parametrize("size", [0, 1000, 100_000])
def test_a_prompt_has_no_more_tokens_than_its_bytes_allow(size: int) -> None:
    most = most_of(a_chat("\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * size), UPSTREAM, 3 * size)
    assert 3 * size + TEMPLATE_TOKENS <= most.prompt_tokens <= 12 * size + 2 * TEMPLATE_TOKENS


def test_the_bytes_of_a_picture_say_nothing_of_its_tokens() -> None:
    assert most_of(a_chat(PICTURE), UPSTREAM, 100).prompt_tokens == LARGEST_CONTEXT
    assert most_of(a_chat(PICTURE), BOUNDED, 100).prompt_tokens == 1000


def test_a_query_is_read_beside_each_document() -> None:
    call = parse_rerank({"model": "m", "query": "q" * 1000, "documents": ["d"] * 100}, BOUNDS)
    ranking = ModelEntry(name="m", engine="vllm", task="score", context_length=2000)
    assert most_of(call, ranking, 1500).prompt_tokens > 100 * 1000


def test_an_engine_may_generate_one_token_to_compute_a_prompt() -> None:
    call = parse_completion({"model": "m", "prompt": ["a", "b"], "max_tokens": 0, "echo": True}, BOUNDS)
    assert most_of(call, UPSTREAM, 100).completion_tokens == 2


@pytest.mark.parametrize(
    "model", [ModelEntry(name="m", engine="pipeline"), ModelEntry(name="m", engine="vllm", task="transcribe")], ids=str
)
def test_what_is_the_sum_of_many_has_no_bound_of_one(model: ModelEntry) -> None:
    assert most_of(a_chat(max_tokens=1), model, 100) == UNBOUNDED


def test_both_counts_must_fit() -> None:
    assert Usage(5, 5).fits(Usage(5, 5))
    assert not Usage(6, 5).fits(Usage(5, 5))
    assert not Usage(5, 6).fits(Usage(5, 5))
