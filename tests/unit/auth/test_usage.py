import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.usage import MAX_COUNT, Usage
from gateway.answers.messages import usage_of_message
from gateway.answers.relay import usage_of
from gateway.endpoints.responses.form import usage_of_response

NUMBERS = st.integers() | st.floats() | st.sampled_from([MAX_COUNT, MAX_COUNT + 1, 10**400, -1])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
COUNTS = ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "cached_tokens")
CACHES = ("cache_read_input_tokens", "cache_creation_input_tokens")
DETAILS = JSON | st.fixed_dictionaries({}, optional={"cached_tokens": JSON})
USAGES = JSON | st.fixed_dictionaries(
    {},
    optional=dict.fromkeys((*COUNTS, *CACHES), JSON)
    | {"prompt_tokens_details": DETAILS, "input_tokens_details": DETAILS},
)


@given(usage=USAGES)
def test_whatever_an_engine_says_is_a_usage_within_bounds_or_none(usage: object) -> None:
    told = {"usage": usage}
    for read in (usage_of(told), usage_of_response(told), usage_of_message(usage)):
        if read is not None:
            assert 0 <= read.cached_tokens <= read.prompt_tokens <= MAX_COUNT
            assert 0 <= read.completion_tokens <= MAX_COUNT


@pytest.mark.parametrize("odd", [-1, 2**53 + 1, 1.5, "7", True, math.nan, math.inf, [], {"a": 1}])
def test_an_odd_count_is_not_taken(odd: object) -> None:
    assert Usage.read(odd, 1, 0) is None
    assert Usage.read(1, odd, 0) is None


def test_a_float_without_fraction_is_a_count() -> None:
    assert Usage.read(7.0, 3.0, None) == Usage(7, 3, 0)


def test_more_cached_than_prompted_is_not_taken() -> None:
    assert Usage.read(5, 1, 6) is None
