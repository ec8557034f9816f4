"""A limit holds on every path."""

import json

import grpc
import pytest

from gateway.grpc.chat_pb2_grpc import ChatStub
from tests.security.conftest import Cluster, Holder, ended, over_grpc
from tests.security.table import ASKING, asked_with, endpoints_with

NOTHING = [{"of": "requests", "per": "day", "amount": 0}]
ONE_TOKEN = [{"of": "tokens", "per": "day", "amount": 1}]


@pytest.fixture(scope="module", params=["key", "project"])
def limited(request: pytest.FixtureRequest, cluster: Cluster) -> Holder:
    """A key that may ask nothing: by a limit of its own, or of its project."""
    if request.param == "key":
        return cluster.key(limits=NOTHING)
    return cluster.key(project=cluster.project(limits=NOTHING))


def test_of_every_endpoint_that_models_answer(limited: Holder) -> None:
    answers = {path: limited.ask(path) for path in asked_with("limit")}
    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(answers, 429)
    assert {answer.json()["error"]["code"] for answer in answers.values()} == {"insufficient_quota"}


def test_of_every_method_over_grpc(limited: Holder, chat: ChatStub) -> None:
    for endpoint in endpoints_with("limit", "gRPC"):
        with pytest.raises(grpc.RpcError) as refused:
            over_grpc(chat, endpoint, limited)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_of_every_line_of_a_batch(limited: Holder) -> None:
    paths = [name.removeprefix("batch line ") for name in endpoints_with("limit", "batch line")]
    batches = {path: limited.batch(path, {"model": ASKING[path].model, **ASKING[path].body}) for path in paths}
    for batch in batches.values():
        done = ended(limited, batch)
        (line,) = limited.http.get(f"/v1/files/{done['error_file_id']}/content").text.splitlines()
        assert json.loads(line)["response"]["body"]["error"]["code"] == "insufficient_quota"


def test_of_a_response_in_the_background(limited: Holder) -> None:
    begun = limited.ask("/v1/responses", background=True).json()["id"]
    status = limited.http.get(f"/v1/responses/{begun}").json()["status"]
    while status in {"queued", "in_progress"}:
        status = limited.http.get(f"/v1/responses/{begun}").json()["status"]
    assert status == "failed"


def test_an_answer_that_has_a_token_too_many_is_not_begun(cluster: Cluster) -> None:
    holder = cluster.key(limits=ONE_TOKEN)
    generating = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages")
    assert [holder.ask(path).status_code for path in generating] == [429] * 4
