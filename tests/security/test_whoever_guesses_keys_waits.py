"""Whoever guesses keys waits, and nobody else."""

import time

import httpx

from tests.security.conftest import Cluster, Holder

WRONG = "sk-wrong-0123456789abcdef"
EVERYWHERE = ("/v1/models", "/readyz", "/metrics", "/admin/v1/keys", "/v1/files")
GUESSES = 8


def taken_s(client: httpx.Client, path: str) -> float:
    """Return how long an answer takes."""
    began_at = time.monotonic()
    client.get(path)
    return time.monotonic() - began_at


def test_each_wrong_key_takes_longer_wherever_it_is_shown(cluster: Cluster, holder: Holder) -> None:
    with cluster.running.client(WRONG) as guesser:
        for _ in range(GUESSES):  # two replicas count them
            guesser.get("/v1/models")
        assert [path for path in EVERYWHERE if taken_s(guesser, path) < 0.05] == []
    assert min(taken_s(holder.http, "/v1/models") for _ in range(3)) < 0.05


def test_no_header_makes_a_guesser_somebody_else(cluster: Cluster) -> None:
    with cluster.running.client(WRONG) as guesser:
        for number in range(GUESSES):
            guesser.get("/v1/models", headers={"x-forwarded-for": f"198.51.100.{number}"})
        guesser.headers["x-forwarded-for"] = "203.0.113.9"
        assert min(taken_s(guesser, "/v1/models") for _ in range(3)) > 0.05


def test_what_ended_looks_like_what_never_was(cluster: Cluster) -> None:
    ended, disabled = cluster.key(), cluster.key()
    cluster.admin.post(f"/admin/v1/keys/{ended.key['id']}/revoke").raise_for_status()
    cluster.admin.patch(f"/admin/v1/keys/{disabled.key['id']}", json={"disabled": True}).raise_for_status()
    time.sleep(1)
    with cluster.running.client("sk-never-0123456789abcdef") as never:
        answers = [client.get("/v1/models") for client in (ended.http, disabled.http, never)]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
