"""``/admin/v1/projects``."""

import httpx
import pytest

from tests.unit.gateway.routes.admin.conftest import House, error_of

PROJECTS = "/admin/v1/projects"
LIMIT = {"of": "tokens", "per": "day", "amount": 1000.0, "model": "*"}


async def test_a_project_is_made_shown_and_listed(admin: httpx.AsyncClient) -> None:
    made = await admin.post(PROJECTS, json={"name": "research", "limits": [LIMIT]})
    assert made.status_code == 201
    project = made.json()
    assert (project["object"], project["name"], project["limits"], project["version"]) == (
        "project",
        "research",
        [LIMIT],
        1,
    )
    assert made.headers["etag"] == '"1"'
    assert (await admin.get(f"{PROJECTS}/{project['id']}")).json() == project
    assert (await admin.get(f"{PROJECTS}/research")).json() == project
    assert project in (await admin.get(PROJECTS)).json()["data"]


async def test_projects_come_in_pages(admin: httpx.AsyncClient) -> None:
    made = {(await admin.post(PROJECTS, json={"name": name})).json()["id"] for name in ("a", "b", "c")}
    first = (await admin.get(PROJECTS, params={"limit": 3})).json()
    second = (await admin.get(PROJECTS, params={"limit": 3, "after": first["last_id"]})).json()
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert {project["id"] for page in (first, second) for project in page["data"]} == made | {"default"}


async def test_only_what_is_given_changes(admin: httpx.AsyncClient) -> None:
    project = (await admin.post(PROJECTS, json={"name": "research", "limits": [LIMIT]})).json()
    changed = (await admin.patch(f"{PROJECTS}/{project['id']}", json={"name": "science"})).json()
    assert (changed["name"], changed["limits"], changed["version"]) == ("science", [LIMIT], 2)
    assert (await admin.patch(f"{PROJECTS}/science", json={"limits": []})).json()["limits"] == []


async def test_an_archived_project_s_keys_stop_at_once_and_come_back(house: House, admin: httpx.AsyncClient) -> None:
    project = (await admin.post(PROJECTS, json={"name": "research"})).json()
    made = (await admin.post("/admin/v1/keys", json={"name": "laptop", "project": "research"})).json()
    async with house.client(made["secret"]) as client:
        assert (await client.get("/v1/models")).status_code == 200
        archived = (await admin.post(f"{PROJECTS}/{project['id']}/archive")).json()
        assert archived["archived_at"] is not None
        assert (await client.get("/v1/models")).status_code == 401
        await admin.post(f"{PROJECTS}/{project['id']}/restore")
        assert (await client.get("/v1/models")).status_code == 200


async def test_the_default_project_stays(admin: httpx.AsyncClient) -> None:
    refused = await admin.post(f"{PROJECTS}/default/archive")
    assert refused.status_code == 400
    assert error_of(refused)["message"] == "the default project cannot be archived."


async def test_a_name_in_use_is_a_conflict(admin: httpx.AsyncClient) -> None:
    await admin.post(PROJECTS, json={"name": "research"})
    refused = await admin.post(PROJECTS, json={"name": "research"})
    assert refused.status_code == 409
    assert error_of(refused)["code"] == "conflict"
    assert refused.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("form", ["header", "body"])
async def test_the_second_of_two_admins_is_told_to_read_again(admin: httpx.AsyncClient, form: str) -> None:
    project = (await admin.post(PROJECTS, json={"name": "research"})).json()
    path = f"{PROJECTS}/{project['id']}"
    body = {"version": 1} if form == "body" else {}
    headers = {"if-match": '"1"'} if form == "header" else {}
    answers = [await admin.patch(path, json={"name": name, **body}, headers=headers) for name in ("one", "two")]
    assert [answer.status_code for answer in answers] == [200, 409]
    assert error_of(answers[1])["code"] == "conflict"
    assert (await admin.get(path)).json()["name"] == "one"


@pytest.mark.parametrize("tag", ["1", '"two"', "*", '"2"', '"' + "9" * 40 + '"'])
async def test_an_if_match_that_is_no_version_or_another_than_the_body_s_is_refused(
    admin: httpx.AsyncClient, tag: str
) -> None:
    await admin.post(PROJECTS, json={"name": "research"})
    headers, body = {"if-match": tag}, {"name": "science", "version": 1}
    answer = await admin.patch(f"{PROJECTS}/research", json=body, headers=headers)
    assert answer.status_code == (200 if tag == "1" else 400)


async def test_what_is_not_there_is_not_found(admin: httpx.AsyncClient) -> None:
    for answer in (
        await admin.get(f"{PROJECTS}/nope"),
        await admin.patch(f"{PROJECTS}/nope", json={"name": "x"}),
        await admin.post(f"{PROJECTS}/nope/archive"),
    ):
        assert answer.status_code == 404
        assert error_of(answer)["code"] == "not_found"
