"""What is known afterwards: usage and the audit log."""

import json
import time
from collections.abc import Callable

import httpx

from tests.e2e.admin.conftest import CHAT, User
from tests.e2e.running import Raygate
from tests.e2e.waiting import within

NewUser = Callable[..., User]


def test_usage_counts_what_was_answered_what_was_refused_and_what_was_aborted(
    user: NewUser, admin: httpx.Client
) -> None:
    asked = user(limits=[{"of": "requests", "per": "minute", "amount": 3}])
    assert asked.chat(max_tokens=7).status_code == 200
    assert asked.chat("no-such-model").status_code == 404
    body = {"model": "slow", "messages": [{"role": "user", "content": "word"}], "max_tokens": 500, "stream": True}
    with asked.http.stream("POST", CHAT, json=body) as stream:
        lines = stream.iter_lines()
        while "content" not in next(lines):
            pass
        time.sleep(0.3)
    assert within(10, lambda: len(asked.http.get("/v1/usage", params={"group_by": "model"}).json()["data"]) == 3)
    own = asked.http.get("/v1/usage", params={"group_by": "model"}).json()["data"]
    sums = {total["model"]: (total["requests"], total["errors"]) for total in own}
    assert sums == {"": (1, 1), "echo": (1, 0), "slow": (1, 1)}
    tokens = {total["model"]: total["completion_tokens"] for total in own}
    assert tokens["echo"] == 7
    assert 5 < tokens["slow"] < 100
    seen = admin.get("/admin/v1/usage", params={"key": asked.key["id"], "group_by": "model"}).json()["data"]
    assert seen == own


def test_a_429_stands_in_the_usage_too(user: NewUser) -> None:
    asked = user(limits=[{"of": "requests", "per": "minute", "amount": 0}])
    assert asked.chat().status_code == 429
    assert within(10, lambda: asked.http.get("/v1/usage").json()["data"][0]["requests"] == 1)
    (total,) = asked.http.get("/v1/usage").json()["data"]
    assert (total["requests"], total["errors"], total["completion_tokens"]) == (1, 1, 0)


def test_the_audit_log_knows_who_changed_what_and_no_secret(
    user: NewUser, admin: httpx.Client, running: Raygate
) -> None:
    made = user().key
    changed = admin.patch(f"/admin/v1/keys/{made['id']}", json={"models": ["echo"]}).json()
    rotated = admin.post(f"/admin/v1/keys/{made['id']}/rotate").json()
    log = admin.get("/admin/v1/audit", params={"subject": made["id"]})
    rotation, change, creation = log.json()["data"]
    (root,) = [key for key in json.loads(running.raygate("keys", "list", "--json").stdout) if key["name"] == "root"]
    assert {entry["actor"] for entry in (rotation, change, creation)} == {root["id"]}
    assert (change["action"], change["before"]["models"], change["after"]["models"]) == ("key.update", ["*"], ["echo"])
    assert changed["version"] == change["after"]["version"]
    assert made["secret"] not in log.text
    assert rotated["secret"] not in log.text


def test_the_command_line_reads_what_the_api_wrote(user: NewUser, running: Raygate) -> None:
    asked = user()
    asked.chat(max_tokens=3)
    assert within(10, lambda: asked.http.get("/v1/usage").json()["data"][0]["requests"] == 1)
    (total,) = json.loads(running.raygate("usage", "--by", "key", "--key", asked.key["id"], "--json").stdout)
    assert (total["key"], total["completion_tokens"]) == (asked.key["id"], 3)
    assert running.raygate("db", "check").stdout.splitlines()[1].startswith("ledger: ")
    exported = running.raygate("db", "export", "--json").stdout.splitlines()
    assert json.loads(exported[-1])["key_id"] == asked.key["id"]
