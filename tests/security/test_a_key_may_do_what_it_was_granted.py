"""A key may do what it was granted, and nothing else."""

import json

import grpc
import httpx
import pytest

from gateway import paths
from gateway.grpc.chat_pb2_grpc import ChatStub
from tests.e2e.waiting import within
from tests.security.conftest import Cluster, Holder, ended, over_grpc
from tests.security.table import ASKING, TABLE, asked_with, endpoints_with

PUBLIC = {"GET /healthz", "GET /readyz"}
NAMES = {
    "response_id": "resp_0",
    "file_id": "file-0",
    "batch_id": "batch_0",
    "model": "echo",
    "id": "key_0",
}


def ask(client: httpx.Client, endpoint: str) -> httpx.Response:
    method, _, path = endpoint.partition(" ")
    if path in ASKING and path != paths.TRANSCRIPTIONS:
        return client.post(path, json={"model": ASKING[path].model, **ASKING[path].body})
    form = {"file": ("a", b"words"), "model": (None, "never-hear"), "purpose": (None, "user_data")}
    files = form if path in {paths.TRANSCRIPTIONS, "/v1/files"} and method == "POST" else None
    return client.request(method, path.format(**NAMES), files=files)


def over_http(kind: str = "") -> list[str]:
    return [name for name in endpoints_with("grant") if not name.startswith(("gRPC", "batch line")) and kind in name]


def test_without_a_key_nothing_but_health_answers(cluster: Cluster) -> None:
    with cluster.running.client(None) as stranger:
        assert {name: ask(stranger, name).status_code for name in over_http()} == dict.fromkeys(over_http(), 401)
    assert {name for name, ways in TABLE.items() if "grant" not in ways} == PUBLIC


def test_each_scope_is_for_its_own_endpoints(cluster: Cluster) -> None:
    own = {
        "admin": {*over_http("/admin/v1/"), "GET /metrics"},
        "metrics": {"GET /metrics"},
        "read-usage": {"GET /v1/usage", "GET /v1/limits"},
        "inference": {name for name in over_http() if "/admin/" not in name and name != "GET /metrics"},
    }
    for scope, endpoints in own.items():
        client = cluster.key(scopes=[scope]).http
        assert {name for name in over_http() if ask(client, name).status_code != 403} == endpoints, scope


@pytest.fixture(scope="module")
def narrow(cluster: Cluster) -> Holder:
    """A key for a model that is not there."""
    return cluster.key(models=["some-other*"])


def test_a_model_that_was_not_granted_does_not_exist(narrow: Holder, chat: ChatStub) -> None:
    answers = {path: narrow.ask(path) for path in asked_with("grant")}
    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(answers, 404)
    assert {answer.json()["error"]["code"] for answer in answers.values()} == {"model_not_found"}
    assert narrow.http.get("/v1/models").json()["data"] == []
    assert narrow.http.get("/v1/models/echo").status_code == 404
    for endpoint in endpoints_with("grant", "gRPC"):
        with pytest.raises(grpc.RpcError) as refused:
            over_grpc(chat, endpoint, narrow)
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_nor_does_it_for_a_line_of_a_batch(narrow: Holder) -> None:
    for endpoint in endpoints_with("grant", "batch line"):
        path = endpoint.removeprefix("batch line ")
        done = ended(narrow, narrow.batch(path, {"model": ASKING[path].model, **ASKING[path].body}))
        assert [each["code"] for each in done["errors"]["data"]] == ["model_not_found"]


def test_a_line_whose_model_is_taken_away_before_it_runs_is_not_answered(cluster: Cluster) -> None:
    holder = cluster.key()
    line = {"messages": [{"role": "user", "content": "word"}], "model": "slow", "max_tokens": 40}
    batch = holder.batch(paths.CHAT, *[line] * 40)
    assert within(5, lambda: holder.http.get(f"/v1/batches/{batch}").json()["status"] == "in_progress")
    cluster.admin.patch(f"/admin/v1/keys/{holder.key['id']}", json={"models": ["echo"]}).raise_for_status()
    done = ended(holder, batch)
    assert done["request_counts"]["completed"] < 40
    (*_, last) = holder.http.get(f"/v1/files/{done['error_file_id']}/content").text.splitlines()
    assert json.loads(last)["response"]["body"]["error"]["code"] == "model_not_found"
