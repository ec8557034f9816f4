"""People without a key of ours, whom an issuer of tokens vouches for."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.e2e.admin.conftest import CHAT, User
from tests.e2e.running import Raygate
from tests.e2e.waiting import within
from tests.issuer import RSA, STRANGER, altered, confused, token, unsigned

NewPerson = Callable[..., User]
HELLO = {"model": "echo", "messages": [{"role": "user", "content": "word"}], "max_tokens": 3}


@pytest.fixture
def person(running: Raygate) -> Iterator[NewPerson]:
    """Return a function that signs in somebody with the claims it is given."""
    with ExitStack() as clients:

        def sign_in(**claims: object) -> User:
            shown = token(sub=f"ada-{time.time_ns()}", **claims)
            return User({"secret": shown}, clients.enter_context(running.client(shown)))

        yield sign_in


@pytest.fixture
def project(admin: httpx.Client, person: NewPerson) -> str:
    """A project for 20 requests a minute, which both replicas know."""
    limits = [{"of": "requests", "per": "minute", "amount": 20}]
    made = admin.post("/admin/v1/projects", json={"name": f"people-{time.time_ns()}", "limits": limits}).json()
    known = person(department=made["id"])
    assert within(5, lambda: {known.http.get("/v1/models").status_code for _ in range(8)} == {200})
    return str(made["id"])


def row_of(running: Raygate, request_id: str) -> dict[str, Any] | None:
    rows = map(json.loads, running.raygate("db", "export", "--json").stdout.splitlines())
    return next((row for row in rows if row["request_id"] == request_id), None)


def test_a_person_is_served_and_the_project_of_the_claim_pays(
    running: Raygate, person: NewPerson, project: str
) -> None:
    ada = person(department=project)
    request_id = f"signed-in-{time.time_ns()}"
    assert ada.http.post(CHAT, json=HELLO, headers={"x-request-id": request_id}).status_code == 200
    assert within(5, lambda: row_of(running, request_id) is not None)
    row = row_of(running, request_id) or {}
    assert (row["project_id"], row["status"], row["completion_tokens"]) == (project, 200, 3)
    assert row["key_id"].startswith("jwt_")
    (own,) = ada.http.get("/v1/usage").json()["data"]
    assert (own["requests"], own["completion_tokens"]) == (1, 3)
    assert ada.key["secret"] not in running.logs()


@pytest.mark.parametrize(
    "forged",
    [
        lambda: token(exp=time.time() - 60),
        lambda: token(aud="another"),
        lambda: token(iss="https://evil.example.com/"),
        lambda: token(STRANGER),
        lambda: token(RSA, "RS512"),
        lambda: token(key_id="unknown"),
        lambda: token(department="no-such-project"),
        lambda: token()[:-9],
        unsigned,
        confused,
        altered,
    ],
    ids=["expired", "audience", "issuer", "stranger", "algorithm", "key", "project", "cut", "none", "hmac", "altered"],
)
def test_what_the_issuer_has_not_signed_for_us_is_a_401(running: Raygate, forged: Callable[[], str]) -> None:
    with running.client(forged()) as client:
        refused = client.post(CHAT, json=HELLO)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.json()["error"]["code"] == "invalid_api_key"


def test_limits_of_a_claim_hold_for_all_tokens_of_a_person(running: Raygate, project: str) -> None:
    claims = {"sub": f"eve-{project}", "department": project}
    claims["limits"] = [{"of": "requests", "per": "minute", "amount": 3}]
    with running.client(token(**claims)) as one, running.client(token(**claims, jti="2")) as other:
        answers = [User({}, client).chat() for client in (one, other, one, other)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert "limit of 3 requests per minute for this key" in answers[3].json()["error"]["message"]


def test_a_projects_limits_bind_its_people_all_together(person: NewPerson, project: str) -> None:
    people = [person(department=project) for _ in range(3)]
    answers = [one.chat() for _ in range(9) for one in people]
    assert [answer.status_code for answer in answers].count(200) == 20
    assert "for this project" in answers[-1].json()["error"]["message"]


def test_a_scope_of_the_claim_makes_an_administrator_and_nothing_else_does(
    admin: httpx.Client, person: NewPerson, project: str
) -> None:
    assert person(department=project).http.get("/admin/v1/keys").status_code == 403
    assert person(department=project, scope="openid").chat().status_code == 403
    boss = person(department=project, scope="openid admin")
    made = boss.http.post("/admin/v1/keys", json={"name": f"by-{time.time_ns()}"})
    assert made.status_code == 201
    (entry,) = admin.get("/admin/v1/audit", params={"subject": made.json()["id"]}).json()["data"]
    assert entry["actor"].startswith("jwt_")
