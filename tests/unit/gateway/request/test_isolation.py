import orjson
import pytest

from gateway.endpoints.call import Call
from gateway.endpoints.chat import ChatForm
from gateway.request.isolation import Isolation

ISOLATION = Isolation.of("secret", {"team": ["proj_a", "proj_b"]})


def test_a_project_has_one_salt_of_its_own() -> None:
    assert ISOLATION.salt("proj_c") == ISOLATION.salt("proj_c")
    assert len({ISOLATION.salt(project) for project in ("proj_a", "proj_c", "proj_d")}) == 3


def test_a_sharing_group_has_one_salt() -> None:
    assert ISOLATION.salt("proj_a") == ISOLATION.salt("proj_b")


def test_a_project_named_like_a_group_is_not_in_it() -> None:
    assert ISOLATION.salt("team") != ISOLATION.salt("proj_a")


def test_it_cannot_be_derived_without_the_secret() -> None:
    assert Isolation.of("another", {}).salt("proj_c") != ISOLATION.salt("proj_c")


@pytest.mark.parametrize("own", ["mine", "", '","x', 5, ["mine"]])
def test_a_clients_own_salt_divides_its_project_and_opens_no_other(own: object) -> None:
    salts = {ISOLATION.salt("proj_a", own), ISOLATION.salt("proj_c", own), ISOLATION.salt("proj_a")}
    assert len(salts) == 3


def test_a_salt_of_another_project_is_not_taken_as_it_is() -> None:
    stolen = ISOLATION.salt("proj_a")
    assert ISOLATION.salt("proj_c", stolen) != stolen


def body(**fields: object) -> dict[str, object]:
    payload = {"messages": [], **fields}
    call = Call("/v1/chat/completions", ChatForm(), None, payload)
    return dict(orjson.loads(call.body_for("m", ISOLATION.salt("proj_c", payload.get("cache_salt")))[1]))


def test_the_engine_is_sent_the_derived_salt_alone() -> None:
    assert body()["cache_salt"] == ISOLATION.salt("proj_c")
    assert body(cache_salt="mine")["cache_salt"] == ISOLATION.salt("proj_c", "mine")


def test_an_engine_without_a_prefix_cache_gets_the_body_as_it_came() -> None:
    call = Call("/v1/chat/completions", ChatForm(), None, {"messages": []})
    assert orjson.loads(call.body_for("m")[1]) == {"messages": [], "model": "m"}
