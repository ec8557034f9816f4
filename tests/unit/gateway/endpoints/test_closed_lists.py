"""What is forwarded is what was counted: each endpoint's closed list of fields."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.settings import Bounds
from gateway.endpoints.call import Call
from gateway.endpoints.chat import ChatBody, parse_chat
from gateway.endpoints.closed import listed, without_unknown
from gateway.endpoints.completions import CompletionBody, parse_completion
from gateway.endpoints.embeddings import EmbeddingBody, parse_embedding
from gateway.endpoints.messages import CountBody, MessagesBody, parse_count, parse_messages
from gateway.endpoints.responses.body import ResponseBody, call_of, check_response
from gateway.endpoints.scoring import RerankBody, ScoreBody, parse_rerank, parse_score
from gateway.endpoints.tokens import DetokenizeBody, TokenizeBody, parse_detokenize, parse_tokenize
from gateway.endpoints.transcriptions import TranscriptionBody
from gateway.http.errors import ApiError
from scripts.fields_page import page

BOUNDS = Bounds(max_choices=8)
MESSAGES = [{"role": "user", "content": "Hi"}]

Parse = Callable[[dict[str, Any], Bounds], Any]
ENDPOINTS: dict[str, tuple[type, Parse, dict[str, Any]]] = {
    "chat": (ChatBody, parse_chat, {"messages": MESSAGES}),
    "completions": (CompletionBody, parse_completion, {"prompt": "Hi"}),
    "embeddings": (EmbeddingBody, parse_embedding, {"input": "Hi"}),
    "messages": (MessagesBody, parse_messages, {"model": "m", "max_tokens": 5, "messages": MESSAGES}),
    "count_tokens": (CountBody, parse_count, {"model": "m", "messages": MESSAGES}),
    "rerank": (RerankBody, parse_rerank, {"query": "Hi", "documents": ["Ho"]}),
    "score": (ScoreBody, parse_score, {"text_1": "Hi", "text_2": "Ho"}),
    "tokenize": (TokenizeBody, parse_tokenize, {"prompt": "Hi"}),
    "detokenize": (DetokenizeBody, parse_detokenize, {"tokens": [1]}),
    "responses": (ResponseBody, check_response, {"input": "Hi"}),
}
OF_VLLM = (
    "best_of",
    "chat_template",
    "ec_transfer_params",
    "enable_response_messages",
    "guided_json",
    "kv_transfer_params",
    "length_penalty",
    "mm_processor_kwargs",
    "previous_input_messages",
    "priority",
    "prompt_embeds",
    "request_id",
    "session_id",
    "stream_interval",
    "use_beam_search",
    "vllm_xargs",
    "watermarking",
)
"""What vLLM's server documents besides, and no client of ours may set."""
EVERY_FIELD = sorted({name for body, _, _ in ENDPOINTS.values() for name in listed(body)} | {*OF_VLLM, "max_toknes"})
FOREIGN = [
    (endpoint, name) for endpoint, (body, _, _) in ENDPOINTS.items() for name in EVERY_FIELD if name not in listed(body)
]


def refusal(endpoint: str, **fields: Any) -> ApiError:
    _, parse, body = ENDPOINTS[endpoint]
    with pytest.raises(ApiError) as refused:
        parse({**body, **fields}, BOUNDS)
    return refused.value


@pytest.mark.parametrize(("endpoint", "name"), FOREIGN)
def test_a_field_of_another_endpoint_is_refused_by_its_name(endpoint: str, name: str) -> None:
    error = refusal(endpoint, **{name: 50_000})
    assert (error.status, error.code, error.param) == (400, "unsupported_parameter", name)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_null_is_a_field_that_is_not_set(endpoint: str) -> None:
    body, parse, given = ENDPOINTS[endpoint]
    call = parse({**dict.fromkeys(listed(body)), "max_toknes": None, **given}, BOUNDS)
    assert not isinstance(call, Call) or set(call.payload) - {"max_tokens"} <= set(given)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_the_name_of_an_unknown_field_is_never_repeated_unless_it_is_a_name(endpoint: str) -> None:
    assert "hunter2" not in str(refusal(endpoint, **{"my password is hunter2": 1}))


@pytest.mark.parametrize("name", ["stop", "structured_outputs", "text", "tools", "tool_choice", "reasoning", "include"])
def test_a_response_is_bounded_in_all_that_it_may_hold(name: str) -> None:
    huge = "x" * 100_000
    value = [{"a": huge}] if name == "tools" else huge if name == "stop" else {"a": huge}
    assert refusal("responses", **{name: value}).param == name


def test_a_dropped_field_is_accepted_and_not_forwarded() -> None:
    assert "client_metadata" not in parse_chat({"messages": MESSAGES, "client_metadata": {"a": "b"}}, BOUNDS).payload


def test_only_the_bound_that_counts_is_forwarded() -> None:
    call = parse_chat({"messages": MESSAGES, "max_tokens": 50_000, "max_completion_tokens": 5}, BOUNDS)
    assert (call.max_tokens, call.payload.get("max_tokens")) == (5, None)


def test_of_a_clients_stream_options_an_engine_sees_the_usage_alone() -> None:
    options = {"include_usage": False, "continuous_usage_stats": True}
    call = parse_chat({"messages": MESSAGES, "stream": True, "stream_options": options}, BOUNDS)
    assert call.payload["stream_options"] == {"include_usage": True}


def test_what_a_template_may_put_into_the_prompt_is_counted() -> None:
    thoughts = [{"role": "assistant", "content": "Hi", "reasoning_content": "long thoughts"}, *MESSAGES]
    call = parse_chat({"messages": thoughts, "chat_template_kwargs": {"persona": "a pirate"}}, BOUNDS)
    assert "long thoughts" in " ".join(call.prompt.texts)
    assert "a pirate" in " ".join(call.prompt.texts)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "thinking", "thinking": "long thoughts"},
        {"type": "refusal", "refusal": "long thoughts"},
        {"type": "tool_reference", "name": "long thoughts"},
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "long thoughts"}]},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"q": "long thoughts"}},
        {"type": "of tomorrow", "told": ["long thoughts"]},
    ],
    ids=lambda part: part["type"],
)
@pytest.mark.parametrize("parse", [parse_chat, parse_messages])
def test_whatever_a_part_says_is_counted(parse: Parse, part: dict[str, Any]) -> None:
    call = parse({"model": "m", "max_tokens": 1, "messages": [{"role": "assistant", "content": [part]}]}, BOUNDS)
    assert "long thoughts" in " ".join(call.prompt.texts)


def test_a_picture_is_no_text() -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    call = parse_chat({"messages": [{"role": "user", "content": [part]}]}, BOUNDS)
    assert list(call.prompt.texts) == []


def test_the_functions_of_older_clients_are_counted_as_tools() -> None:
    assert "weather" in parse_chat({"messages": MESSAGES, "functions": [{"name": "weather"}]}, BOUNDS).prompt.tools


def test_the_default_of_a_completion_is_said_to_its_engine() -> None:
    assert parse_completion({"prompt": "Hi"}, BOUNDS).payload["max_tokens"] == 16
    assert parse_completion({"prompt": "Hi", "max_tokens": 0}, BOUNDS).payload["max_tokens"] == 0


def test_an_engine_is_told_of_a_bound_unless_the_client_has_set_one() -> None:
    free, own = parse_chat({"messages": MESSAGES}, BOUNDS), parse_chat({"messages": MESSAGES, "max_tokens": 5}, BOUNDS)
    told = free.bounded(32)
    assert (told.max_tokens, told.payload["max_completion_tokens"]) == (32, 32)
    assert own.bounded(32) is own
    assert "max_completion_tokens" not in free.payload


@pytest.mark.parametrize("endpoint", ["chat", "completions", "messages", "count_tokens", "tokenize", "responses"])
def test_a_template_is_the_operators_to_choose(endpoint: str) -> None:
    error = refusal(endpoint, chat_template_kwargs={"enable_thinking": True, "chat_template": "{{ 7 * 7 }}"})
    assert error.param == "chat_template_kwargs.chat_template"


def test_a_score_has_two_sides_and_no_third() -> None:
    assert refusal("score", queries="a").param == "queries"


def test_unknown_fields_are_dropped_by_name_where_the_operator_says_so() -> None:
    known, dropped = without_unknown(ChatBody, {"messages": MESSAGES, "max_toknes": 5, "a secret\n": 1, "x": None})
    assert (known, dropped) == ({"messages": MESSAGES}, ["max_toknes", "?"])


def test_the_operators_own_fields_are_refused_even_where_unknown_ones_are_dropped() -> None:
    known, _ = without_unknown(ChatBody, {"messages": MESSAGES, "priority": -1})
    with pytest.raises(ApiError):
        parse_chat(known, BOUNDS)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


TOKENS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
ASSUMED_TOKENS = 1024


def call_of_response(payload: dict[str, Any], bounds: Bounds) -> Call:
    return call_of(check_response(payload, bounds), payload, cast("Any", None), ())


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@given(fields=st.dictionaries(st.sampled_from(EVERY_FIELD), json_values, max_size=6))
def test_whatever_is_accepted_asks_for_no_more_than_is_reserved(endpoint: str, fields: dict[str, Any]) -> None:
    body, parse, needed = ENDPOINTS[endpoint]
    parse = call_of_response if endpoint == "responses" else parse
    try:
        call = parse({**needed, **fields}, BOUNDS).bounded(ASSUMED_TOKENS)
    except ApiError as refused:
        assert refused.status == 400
        return
    sent = call.payload
    assert sent.keys() <= listed(body).keys()
    told = [sent[name] for name in TOKENS if name in sent]
    assert max(told, default=0) == call.max_tokens
    assert (sent.get("n") or 1) <= call.choices <= BOUNDS.max_choices


def test_the_page_of_fields_is_what_the_code_says() -> None:
    assert (Path(__file__).parents[4] / "docs/fields.md").read_text() == page()


def test_a_transcription_has_a_closed_list_too() -> None:
    assert "n" not in listed(TranscriptionBody)
    assert "timestamp_granularities[]" in listed(TranscriptionBody)
