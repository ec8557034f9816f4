"""Model names and what they resolve to."""

from collections import Counter

import pytest

from gateway.config.settings import AliasEntry, GatewaySettings, ModelEntry, WeightedModel
from gateway.http.errors import ApiError
from gateway.paths import CHAT
from gateway.routing.models import ModelTable

A, B, C = (ModelEntry(name=name, engine="echo") for name in ("a", "b", "c"))
CANARY = AliasEntry(
    name="canary", route=[WeightedModel(model="a", weight=90), WeightedModel(model="b", weight=10)], fallback=["c", "a"]
)
TABLE = ModelTable.of(GatewaySettings(models=[A, B, C], aliases=[CANARY]))


def anything(_: str) -> bool:
    return True


def test_a_model_resolves_to_itself() -> None:
    assert TABLE.candidates("b", anything, CHAT) == [B]


def test_an_alias_draws_by_weight() -> None:
    drawn = Counter(TABLE.candidates("canary", anything, CHAT)[0].name for _ in range(2000))
    assert 1700 < drawn["a"] < 1900


def test_fallbacks_follow_the_drawn_model_once_each() -> None:
    names = {tuple(model.name for model in TABLE.candidates("canary", anything, CHAT)) for _ in range(200)}
    assert names == {("a", "c"), ("b", "c", "a")}


def test_a_grant_of_an_alias_is_one_of_all_that_stands_behind_it() -> None:
    assert {model.name for model in TABLE.candidates("canary", lambda name: name == "canary", CHAT)} >= {"a", "c"}


@pytest.mark.parametrize("name", ["nope", "secret"])
def test_unknown_and_forbidden_models_look_the_same(name: str) -> None:
    with pytest.raises(ApiError) as refused:
        TABLE.candidates(name, lambda asked: asked != "secret", CHAT)
    assert (refused.value.status, refused.value.code) == (404, "model_not_found")


def test_a_request_without_a_model_needs_a_default() -> None:
    with pytest.raises(ApiError) as refused:
        TABLE.asked_for(None)
    assert refused.value.code == "missing_required_parameter"
    assert ModelTable.of(GatewaySettings(models=[A], default_model="a")).asked_for(None) == "a"
