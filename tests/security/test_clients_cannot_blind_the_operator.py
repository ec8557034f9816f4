"""Clients cannot blind the operator."""

import contextlib
import sqlite3
import uuid

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway import paths
from tests.e2e.waiting import within
from tests.security.conftest import Cluster, Holder
from tests.security.table import ASKING

SECRET = "my-password-is-hunter2"


def labels(client: httpx.Client) -> set[str]:
    families = text_string_to_metric_families(client.get("/metrics").raise_for_status().text)
    return {sample.labels["model"] for family in families for sample in family.samples if "model" in sample.labels}


def test_metrics_are_labelled_with_configured_names_alone(cluster: Cluster, holder: Holder) -> None:
    for number in range(100):
        holder.http.post(
            paths.CHAT, json={"model": f"{SECRET}-{number}", "messages": [{"role": "user", "content": ""}]}
        )
    seen = labels(cluster.key(scopes=["metrics"]).http)
    configured = {model["id"] for model in holder.http.get("/v1/models").json()["data"]}
    assert {"unknown"} <= seen <= {*configured, "unknown"}


def test_each_gateway_replica_is_in_a_scrape_or_told_missing(cluster: Cluster) -> None:
    told = cluster.key(scopes=["metrics"]).http.get("/metrics").raise_for_status().text
    families = {family.name: family.samples for family in text_string_to_metric_families(told)}
    assert [sample.value for sample in families["raygate_up"]] == [1, 1]


def test_readyz_tells_strangers_a_word_and_a_key_its_own_models(cluster: Cluster) -> None:
    with cluster.running.client(None) as stranger:
        assert set(stranger.get("/readyz").json()) == {"status"}
    assert set(cluster.key(models=["echo"]).http.get("/readyz").json()["models"]) == {"echo"}
    assert set(cluster.admin.get("/readyz").json()["models"]) > {"echo", "slow"}


def test_whoever_is_refused_leaves_a_count_and_no_rows(cluster: Cluster) -> None:
    refused = cluster.key(limits=[{"of": "requests", "per": "minute", "amount": 0}])
    assert {refused.ask(paths.CHAT).status_code for _ in range(200)} == {429}

    def told() -> list[tuple[str, str, int]]:
        sums = cluster.admin.get("/admin/v1/refusals", params={"key": refused.key["id"]}).json()["data"]
        return [(each["model"], each["code"], each["refusals"]) for each in sums]

    assert within(5, lambda: told() == [(ASKING[paths.CHAT].model, "rate_limit_exceeded", 200)])
    assert within(5, lambda: refused.http.get("/v1/usage").json()["data"][0]["errors"] == 200)
    with contextlib.closing(sqlite3.connect(cluster.running.home / "raygate.db")) as database:
        (rows,) = database.execute("SELECT count(*) FROM requests WHERE key_id = ?", [refused.key["id"]]).fetchone()
        (counts,) = database.execute("SELECT count(*) FROM refusals WHERE key_id = ?", [refused.key["id"]]).fetchone()
    assert rows == 0
    assert counts <= 4  # two replicas, and a minute that may end meanwhile


@pytest.mark.parametrize(
    "headers",
    [
        [("x-request-id", "one two"), ("x-request-id", "three")],
        [("x-request-id", "a,b")],
        [("x-request-id", "x" * 500)],
        [("x-request-id", "clean-1"), ("x-request-id", "clean-2")],
    ],
    ids=["spaces", "comma", "long", "two"],
)
def test_a_request_has_one_clean_id_in_answer_log_and_ledger(
    cluster: Cluster, holder: Holder, headers: list[tuple[str, str]]
) -> None:
    marked = str(uuid.uuid4())
    body = {"model": "echo", **ASKING[paths.CHAT].body, "max_tokens": 1, "user": marked}
    answer = holder.http.post(paths.CHAT, json=body, headers=[*headers, *holder.http.headers.items()])
    (told,) = answer.headers.get_list("x-request-id")
    assert told.replace("-", "").replace("_", "").isalnum()
    assert cluster.running.ledger_row(told)["user"] == marked
