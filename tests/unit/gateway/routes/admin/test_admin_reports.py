"""``/admin/v1/usage``, ``/admin/v1/audit``, and what a key may see of itself."""

import time

import httpx
import pytest

from auth.keys import Key, create_key
from auth.ledger_row import LedgerRow
from auth.limits import Limit
from auth.projects import update_project
from auth.refusals import Refusal
from auth.usage import Usage
from tests.unit.gateway.routes.admin.conftest import House, error_of

USAGE = "/admin/v1/usage"


def row(key: str, model: str, *, tokens: int, status: int = 200, created_at: float | None = None) -> LedgerRow:
    return LedgerRow(
        request_id="r",
        key_id=key,
        project_id="default",
        model_asked=model,
        model=model,
        completion_tokens=tokens,
        cost=tokens / 1000,
        status=status,
        created_at=time.time() if created_at is None else created_at,
    )


@pytest.fixture
async def used(house: House) -> House:
    for used in (row("key_a", "m1", tokens=1), row("key_a", "m2", tokens=2, status=429), row("key_b", "m1", tokens=4)):
        house.access.ledger.record(used)
    await house.access.ledger.flush()
    return house


async def test_one_sum_of_the_month_so_far(used: House, admin: httpx.AsyncClient) -> None:
    answer = (await admin.get(USAGE)).json()
    (total,) = answer["data"]
    assert (answer["object"], answer["has_more"], answer["next_after"]) == ("list", False, None)
    assert (total["requests"], total["errors"], total["completion_tokens"]) == (3, 1, 7)
    assert total["cost"] == pytest.approx(0.007)
    assert "key" not in total


async def test_sums_by_key_and_model_in_pages(used: House, admin: httpx.AsyncClient) -> None:
    question = {"group_by": ["key", "model"], "limit": 2}
    first = (await admin.get(USAGE, params=question)).json()
    rest = (await admin.get(USAGE, params={**question, "after": first["next_after"]})).json()
    assert (first["has_more"], rest["has_more"]) == (True, False)
    groups = [(total["key"], total["model"], total["completion_tokens"]) for total in first["data"] + rest["data"]]
    assert groups == [("key_a", "m1", 1), ("key_a", "m2", 2), ("key_b", "m1", 4)]


async def test_only_what_is_asked_for(used: House, admin: httpx.AsyncClient) -> None:
    for filters, tokens in (({"key": "key_a"}, 3), ({"model": "m1"}, 5), ({"project": "default"}, 7)):
        assert (await admin.get(USAGE, params=filters)).json()["data"][0]["completion_tokens"] == tokens


@pytest.mark.parametrize("since", ["2001-01-01", "2001-01-01T00:00:00Z", "978307200", "2001-01-01T01:00:00+01:00"])
async def test_times_are_iso_or_seconds(house: House, admin: httpx.AsyncClient, since: str) -> None:
    house.access.ledger.record(row("key_a", "m1", tokens=9, created_at=978_307_200 + 60))
    await house.access.ledger.flush()
    answer = await admin.get(USAGE, params={"since": since, "until": "2001-01-02", "group_by": ["day", "hour"]})
    assert [(total["day"], total["hour"]) for total in answer.json()["data"]] == [(978_307_200, 978_307_200)]


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"group_by": "user"}, "group_by.0"),
        ({"group_by": ["key", "key"]}, None),
        ({"since": "yesterday"}, "since"),
        ({"since": "99999999999999999999"}, "since"),
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"group_by": "key", "after": "nonsense"}, None),
        ({"group_by": "hour", "after": "WyJhIl0="}, None),
        ({"group_by": "hour", "after": "WzkyMjMzNzIwMzY4NTQ3NzU4MDhd"}, None),
        ({"key": "a\x00b"}, "key"),
    ],
    ids=repr,
)
async def test_a_question_without_sense_is_refused(
    admin: httpx.AsyncClient, params: dict[str, str], param: str | None
) -> None:
    refused = await admin.get(USAGE, params=params)
    assert refused.status_code == 400
    assert error_of(refused)["param"] == param


async def test_refusals_say_who_was_not_let_in_and_why(house: House, admin: httpx.AsyncClient) -> None:
    for key in ("key_a", "key_a", "key_b"):
        house.access.refusals.count(Refusal(key, "default", "m1", 429, "rate_limit_exceeded"))
    await house.access.refusals.flush()
    (most, least) = (await admin.get("/admin/v1/refusals")).json()["data"]
    assert time.time() - 120 < most.pop("last") <= time.time()
    told = {"project": "default", "model": "m1", "status": 429, "code": "rate_limit_exceeded"}
    assert most == {"key": "key_a", "refusals": 2, **told}
    assert (least["key"], least["refusals"]) == ("key_b", 1)


@pytest.mark.parametrize(
    ("params", "keys"),
    [({"key": "key_b"}, ["key_b"]), ({"limit": 1}, ["key_a"]), ({"until": "2001-01-01"}, [])],
    ids=repr,
)
async def test_only_the_refusals_that_are_asked_for(
    house: House, admin: httpx.AsyncClient, params: dict[str, str], keys: list[str]
) -> None:
    for key in ("key_a", "key_a", "key_b"):
        house.access.refusals.count(Refusal(key, "default", "m1", 429, "rate_limit_exceeded"))
    await house.access.refusals.flush()
    found = (await admin.get("/admin/v1/refusals", params={"since": "2000-01-01", **params})).json()["data"]
    assert [each["key"] for each in found] == keys


async def test_the_audit_log_says_who_did_what_to_what(house: House, admin: httpx.AsyncClient) -> None:
    made = (await admin.post("/admin/v1/keys", json={"name": "laptop"})).json()
    await admin.patch(f"/admin/v1/keys/{made['id']}", json={"name": "desk"})
    await admin.post(f"/admin/v1/keys/{made['id']}/revoke")
    actions = (await admin.get("/admin/v1/audit", params={"subject": made["id"]})).json()["data"]
    assert [action["action"] for action in actions] == ["key.revoke", "key.update", "key.create"]
    assert {action["actor"] for action in actions} == {house.admin_id}
    assert (actions[1]["before"]["name"], actions[1]["after"]["name"]) == ("laptop", "desk")
    assert actions[2]["before"] is None


async def test_the_audit_log_comes_in_pages_the_newest_first(house: House, admin: httpx.AsyncClient) -> None:
    for name in ("a", "b", "c"):
        await admin.post("/admin/v1/projects", json={"name": name})
    question = {"actor": house.admin_id, "limit": 2}
    first = (await admin.get("/admin/v1/audit", params=question)).json()
    rest = (await admin.get("/admin/v1/audit", params={**question, "after": first["last_id"]})).json()
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert [action["after"]["name"] for action in first["data"] + rest["data"]] == ["c", "b", "a"]
    assert (await admin.get("/admin/v1/audit", params={"actor": "cli"})).json()["data"][0]["action"] == "key.create"


async def a_user(house: House, *limits: Limit, scope: str = "inference") -> tuple[Key, httpx.AsyncClient]:
    key, secret = await create_key(house.access.store, name="user", scopes=[scope], limits=limits)
    await house.access.keys.refresh()
    return key, house.client(secret)


@pytest.mark.parametrize("scope", ["inference", "read-usage"])
async def test_a_key_sees_its_own_usage_alone(used: House, scope: str) -> None:
    key, client = await a_user(used, scope=scope)
    used.access.ledger.record(row(key.id, "m1", tokens=8))
    await used.access.ledger.flush()
    async with client:
        (total,) = (await client.get("/v1/usage", params={"group_by": "model"})).json()["data"]
        assert (total["model"], total["completion_tokens"]) == ("m1", 8)
        assert error_of(await client.get("/v1/usage", params={"group_by": "key"}))["param"] == "group_by.0"
        (same,) = (await client.get("/v1/usage", params={"key": "key_a", "project": "default"})).json()["data"]
        assert same["completion_tokens"] == 8


async def test_a_key_sees_its_limits_and_those_of_its_project(house: House) -> None:
    await update_project(house.access.store, "default", limits=[Limit("cost", "month", 10)])
    key, client = await a_user(house, Limit("requests", "minute", 3), Limit("concurrency", None, 2, "m*"))
    async with client, house.access.reserve(key, model="m1", estimate=Usage(5, 5)):
        shown = (await client.get("/v1/limits")).json()["data"]
    assert [(quota["owner"], quota["of"], quota["limit"], quota["remaining"]) for quota in shown] == [
        ("key", "requests", 3, 2),
        ("key", "concurrency", 2, 1),
        ("project", "cost", 10, 10),
    ]
    assert 59 < shown[0]["resets_in_s"] <= 61


async def test_an_admin_key_alone_is_no_key_for_its_own_figures(admin: httpx.AsyncClient) -> None:
    refused = await admin.get("/v1/limits")
    assert refused.status_code == 403
    assert "'inference' or 'read-usage'" in error_of(refused)["message"]
