"""What a key may do, until it may not any more."""

import json
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.admin.conftest import CHAT, User
from tests.e2e.running import Raygate

NewUser = Callable[..., User]
LONG = {"messages": [{"role": "user", "content": "word"}], "stream": True}


def test_a_project_and_a_key_made_over_http_serve_a_request(admin: httpx.Client, user: NewUser) -> None:
    project = admin.post("/admin/v1/projects", json={"name": f"research-{time.time_ns()}"}).json()
    made = user(project=project["id"])
    assert made.key["project"] == project["id"]
    assert made.chat().status_code == 200


def test_models_that_a_key_may_not_use_do_not_exist_for_it(user: NewUser) -> None:
    some = user(models=["ech*"])
    assert [model["id"] for model in some.http.get("/v1/models").json()["data"]] == ["echo"]
    hidden, absent = some.chat("slow"), some.chat("no-such-model")
    assert hidden.status_code == 404
    assert hidden.json() == absent.json()
    assert hidden.json()["error"]["code"] == "model_not_found"
    assert some.http.get("/v1/models/slow").status_code == 404
    assert some.chat("echo").status_code == 200


ENDS = {
    "revoked": ("POST", "/revoke", None),
    "disabled": ("PATCH", "", {"disabled": True}),
    "narrowed to another model": ("PATCH", "", {"models": ["echo"]}),
    "narrowed to another scope": ("PATCH", "", {"scopes": ["read-usage"]}),
}


def end(admin: httpx.Client, key: dict[str, Any], how: str) -> None:
    method, path, body = ENDS[how]
    assert admin.request(method, f"/admin/v1/keys/{key['id']}{path}", json=body).is_success


@pytest.mark.parametrize("how", ENDS)
def test_a_stream_ends_within_a_second_of_its_key_by_an_error_event(
    user: NewUser, admin: httpx.Client, how: str
) -> None:
    ended = user()
    with ended.http.stream("POST", CHAT, json={**LONG, "model": "slow", "max_tokens": 400}) as stream:
        lines = stream.iter_lines()
        next(lines)
        end(admin, ended.key, how)
        ended_at = time.monotonic()
        *_, error, _, done, _ = lines
        assert time.monotonic() - ended_at < 1.5
    assert json.loads(error.removeprefix("data: "))["error"]["code"] == "invalid_api_key"
    assert done == "data: [DONE]"


def test_a_whole_answer_ends_within_a_second_of_its_key(user: NewUser, admin: httpx.Client) -> None:
    ended = user()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(ended.chat, "slow", 400)
        time.sleep(0.5)
        end(admin, ended.key, "revoked")
        ended_at = time.monotonic()
        assert waiting.result().status_code == 401
        assert time.monotonic() - ended_at < 1.5


def test_a_body_that_arrives_across_a_revocation_is_no_request(
    user: NewUser, admin: httpx.Client, running: Raygate
) -> None:
    ended, body = user(), json.dumps({**LONG, "model": "echo"}).encode()
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as client:
        head = [
            f"POST {CHAT} HTTP/1.1",
            "host: raygate",
            f"authorization: {ended.http.headers['authorization']}",
            "content-type: application/json",
            f"content-length: {len(body)}",
        ]
        client.sendall("\r\n".join([*head, "", ""]).encode() + body[:-1])
        time.sleep(0.5)
        end(admin, ended.key, "revoked")
        ended_at = time.monotonic()
        assert client.recv(64).startswith(b"HTTP/1.1 401 ")
        assert time.monotonic() - ended_at < 1.5


def test_a_queued_request_of_a_revoked_key_is_refused(user: NewUser, admin: httpx.Client) -> None:
    running, queued = user(), user()
    with (
        ThreadPoolExecutor() as pool,
        running.http.stream("POST", CHAT, json={**LONG, "model": "single", "max_tokens": 80}) as stream,
    ):
        lines = stream.iter_lines()
        next(lines)
        waiting = pool.submit(queued.chat, "single", 1)
        time.sleep(0.5)
        revoked_at = time.monotonic()
        admin.post(f"/admin/v1/keys/{queued.key['id']}/revoke")
        assert waiting.result().status_code == 401
        assert time.monotonic() - revoked_at < 1.5
        del lines  # whoever drops them closes the stream


def test_a_rotated_key_works_beside_the_new_one_until_the_overlap_ends(
    user: NewUser, admin: httpx.Client, running: Raygate
) -> None:
    old = user()
    rotated = admin.post(f"/admin/v1/keys/{old.key['id']}/rotate", json={"overlap_s": 3}).json()
    with running.client(rotated["secret"]) as new:
        time.sleep(1)
        assert {client.get("/v1/models").status_code for client in (old.http, new) for _ in range(4)} == {200}
        time.sleep(3)
        assert {old.http.get("/v1/models").status_code for _ in range(4)} == {401}
        assert {new.get("/v1/models").status_code for _ in range(4)} == {200}


def test_a_key_without_the_scope_sees_nothing_of_the_admin_api(user: NewUser) -> None:
    refused = user().http.get("/admin/v1/keys")
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "permission_denied"


def test_of_two_admins_who_change_one_key_the_second_is_told(user: NewUser, admin: httpx.Client) -> None:
    path = f"/admin/v1/keys/{user().key['id']}"
    tag = admin.get(path).headers["etag"]
    answers = [admin.patch(path, json={"models": [model]}, headers={"if-match": tag}) for model in ("echo", "slow")]
    assert [answer.status_code for answer in answers] == [200, 409]
    assert answers[1].headers["x-should-retry"] == "false"
    assert answers[1].json()["error"]["code"] == "conflict"


def test_names_that_look_like_code_are_neither_run_nor_logged(
    user: NewUser, admin: httpx.Client, running: Raygate
) -> None:
    name = f"'; DROP TABLE keys; -- ${{jndi:x}} <b> {time.time_ns()}"
    made = user(name=name)
    assert made.key["name"] == name
    assert made.chat(user=name).status_code == 200
    assert admin.get(f"/admin/v1/keys/{made.key['id']}").json()["name"] == name
    assert name not in running.logs()
    assert made.key["secret"] not in running.logs()


def test_the_schema_is_complete(admin: httpx.Client) -> None:
    paths = admin.get("/openapi.json").json()["paths"]
    assert {"/admin/v1/keys/{id}/rotate", "/admin/v1/usage", "/v1/limits", CHAT} <= set(paths)
