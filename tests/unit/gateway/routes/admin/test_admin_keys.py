"""``/admin/v1/keys``."""

import time

import httpx
import pytest

from tests.unit.gateway.routes.admin.conftest import House, error_of

KEYS = "/admin/v1/keys"
LIMIT = {"of": "requests", "per": "minute", "amount": 3.0, "model": "*"}


async def make(admin: httpx.AsyncClient, **fields: object) -> dict[str, str]:
    made = await admin.post(KEYS, json={"name": "laptop", **fields})
    assert made.status_code == 201
    return dict(made.json())


async def works(house: House, secret: str) -> bool:
    async with house.client(secret) as client:
        return (await client.get("/v1/models")).status_code == 200


async def test_a_secret_is_shown_once_and_works_at_once(house: House, admin: httpx.AsyncClient) -> None:
    made = await make(admin)
    assert await works(house, made["secret"])
    for answer in (await admin.get(KEYS), await admin.get(f"{KEYS}/{made['id']}"), await admin.get("/admin/v1/audit")):
        assert made["secret"] not in answer.text
        assert "digest" not in answer.text


async def test_a_key_is_made_with_all_that_bounds_it(admin: httpx.AsyncClient) -> None:
    project = (await admin.post("/admin/v1/projects", json={"name": "research"})).json()
    expires_at = int(time.time()) + 3600
    made = await make(
        admin,
        project="research",
        scopes=["inference", "read-usage"],
        models=["echo", "gpt-*"],
        limits=[LIMIT],
        expires_at=expires_at,
    )
    shown = (await admin.get(f"{KEYS}/{made['id']}")).json()
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert (shown["project"], shown["scopes"]) == (project["id"], ["inference", "read-usage"])
    assert (shown["models"], shown["limits"], shown["expires_at"]) == (["echo", "gpt-*"], [LIMIT], expires_at)


async def test_keys_come_in_pages_of_a_project_or_of_all(admin: httpx.AsyncClient) -> None:
    project = (await admin.post("/admin/v1/projects", json={"name": "research"})).json()
    made = [await make(admin, name=name, project="research") for name in ("a", "b", "c")]
    first = (await admin.get(KEYS, params={"project": project["id"], "limit": 2})).json()
    rest = (await admin.get(KEYS, params={"project": project["id"], "limit": 2, "after": first["last_id"]})).json()
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert [key["id"] for key in first["data"] + rest["data"]] == sorted(key["id"] for key in made)
    assert len((await admin.get(KEYS)).json()["data"]) == 4


async def test_only_what_is_given_of_a_key_changes(admin: httpx.AsyncClient) -> None:
    made = await make(admin, limits=[LIMIT], expires_at=time.time() + 3600)
    renamed = (await admin.patch(f"{KEYS}/{made['id']}", json={"name": "desk"})).json()
    assert (renamed["name"], renamed["limits"], renamed["expires_at"]) == ("desk", [LIMIT], int(made["expires_at"]))
    changed = (await admin.patch(f"{KEYS}/desk", json={"expires_at": None, "models": [], "limits": []})).json()
    assert (changed["expires_at"], changed["models"], changed["limits"], changed["version"]) == (None, [], [], 3)


async def test_a_disabled_key_stops_and_comes_back(house: House, admin: httpx.AsyncClient) -> None:
    made = await make(admin)
    await admin.patch(f"{KEYS}/{made['id']}", json={"disabled": True})
    assert not await works(house, made["secret"])
    await admin.patch(f"{KEYS}/{made['id']}", json={"disabled": False})
    assert await works(house, made["secret"])


async def test_a_revoked_key_stops_at_once_and_for_ever(house: House, admin: httpx.AsyncClient) -> None:
    made = await make(admin)
    revoked = await admin.post(f"{KEYS}/{made['id']}/revoke")
    assert revoked.json()["revoked_at"] is not None
    assert not await works(house, made["secret"])
    assert (await admin.patch(f"{KEYS}/{made['id']}", json={"disabled": False})).status_code == 400
    await make(admin)  # its name is free again


async def test_a_rotated_key_s_old_secret_works_until_the_overlap_ends(house: House, admin: httpx.AsyncClient) -> None:
    made = await make(admin)
    second = (await admin.post(f"{KEYS}/{made['id']}/rotate", json={"overlap_s": 3600})).json()
    assert await works(house, made["secret"])
    assert await works(house, second["secret"])
    third = (await admin.post(f"{KEYS}/{made['id']}/rotate")).json()
    assert not await works(house, made["secret"])
    assert not await works(house, second["secret"])
    assert await works(house, third["secret"])
    assert (made["id"], second["id"]) == (second["id"], third["id"])


async def test_a_rotation_decided_on_an_older_version_is_a_conflict(admin: httpx.AsyncClient) -> None:
    made = await make(admin)
    await admin.patch(f"{KEYS}/{made['id']}", json={"name": "desk"})
    refused = await admin.post(f"{KEYS}/{made['id']}/rotate", json={"version": 1})
    assert refused.status_code == 409
    assert refused.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": " a"}, "name"),
        ({"name": "x" * 129}, "name"),
        ({"name": None}, "name"),
        ({"name": 7}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["root"]}, "scopes.0"),
        ({"models": ["a\x00"]}, "models"),
        ({"models": "echo"}, "models"),
        ({"expires_at": 1}, None),
        ({"expires_at": 1e300}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"project": "nope"}, None),
        ({"color": "red"}, "color"),
        ({"limits": [{**LIMIT, "amount": -1}]}, "limits"),
        ({"limits": [{**LIMIT, "amount": 1e16}]}, "limits"),
        ({"limits": [{**LIMIT, "amount": "3"}]}, "limits.0.amount"),
        ({"limits": [{**LIMIT, "amount": 1.5}]}, "limits"),
        ({"limits": [{**LIMIT, "per": "hour"}]}, "limits.0.per"),
        ({"limits": [{**LIMIT, "per": None}]}, "limits"),
        ({"limits": [{**LIMIT, "of": "cost"}]}, "limits"),
        ({"limits": [LIMIT, LIMIT]}, "limits"),
        ({"limits": [LIMIT] * 65}, "limits"),
    ],
    ids=repr,
)
async def test_what_cannot_be_stored_is_refused_by_its_name(
    admin: httpx.AsyncClient, fields: dict[str, object], param: str | None
) -> None:
    refused = await admin.post(KEYS, json={"name": "laptop", **fields})
    assert refused.status_code == (404 if "project" in fields else 400)
    error = error_of(refused)
    assert (error["param"], error["code"]) == (param, "not_found" if "project" in fields else "invalid_value")


async def test_a_missing_field_is_named(admin: httpx.AsyncClient) -> None:
    error = error_of(await admin.post(KEYS, json={}))
    assert (error["param"], error["code"]) == ("name", "missing_required_parameter")


INJECTIONS = (
    "'; DROP TABLE keys; --",
    '" OR 1=1 --',
    "%s%n{0}${jndi:ldap://x}",
    "<script>alert(1)</script>",
    "a' UNION SELECT digest FROM secrets --",
    "ключ \N{SNOWMAN}",
)


@pytest.mark.parametrize("name", INJECTIONS)
async def test_a_name_that_looks_like_code_is_only_a_name(
    house: House, admin: httpx.AsyncClient, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    made = await make(admin, name=name)
    assert (await admin.get(f"{KEYS}/{made['id']}")).json()["name"] == name
    assert await works(house, made["secret"])
    assert (await admin.get(KEYS, params={"project": name})).json()["data"] == []
    assert (await admin.get("/admin/v1/usage", params={"key": name})).json()["data"][0]["requests"] == 0
    assert (await admin.post(KEYS, json={"name": name})).status_code == 409
    assert (await admin.get(f"{KEYS}/{name}x")).status_code == 404
    logged = capfd.readouterr()
    assert name not in logged.out + logged.err


@pytest.mark.parametrize("name", ["%00", "a%0Ab", "%1b[31m", "x" * 300])
async def test_an_id_that_cannot_be_one_is_refused(admin: httpx.AsyncClient, name: str) -> None:
    refused = await admin.get(f"{KEYS}/{name}")
    assert refused.status_code == 400
    assert error_of(refused)["code"] == "invalid_value"


async def test_a_limit_that_bounds_nothing_is_warned_about_wherever_its_owner_is_shown(
    admin: httpx.AsyncClient,
) -> None:
    limits = [LIMIT | {"model": "ech?"}, LIMIT | {"model": "ecco"}]
    warnings = ["requests/minute=3@ecco bounds nothing: no model or alias is called 'ecco'."]
    made = await make(admin, limits=limits)
    listed = (await admin.get(KEYS)).json()["data"]
    project = (await admin.post("/admin/v1/projects", json={"name": "research", "limits": limits})).json()
    assert made["warnings"] == project["warnings"] == warnings
    assert [key["warnings"] for key in listed if key["id"] == made["id"]] == [warnings]
    mended = await admin.patch(f"{KEYS}/{made['id']}", json={"limits": [LIMIT]})
    assert mended.json()["warnings"] == []
