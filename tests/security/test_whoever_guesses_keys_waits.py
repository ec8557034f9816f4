"""Whoever guesses keys waits, and nobody else."""

import time

import pytest

from tests.security.conftest import Cluster, Holder

GUESSES = 12


@pytest.mark.parametrize("path", ["/v1/models", "/readyz", "/metrics", "/admin/v1/keys", "/v1/files"])
def test_each_wrong_key_takes_longer_wherever_it_is_shown(cluster: Cluster, holder: Holder, path: str) -> None:
    with cluster.running.client("sk-wrong-0123456789abcdef") as guesser:
        began_at = time.monotonic()
        for _ in range(GUESSES):
            guesser.get(path)
        assert time.monotonic() - began_at > 0.5
    began_at = time.monotonic()
    assert holder.http.get("/v1/models").status_code == 200
    assert time.monotonic() - began_at < 0.5


def test_what_ended_looks_like_what_never_was(cluster: Cluster) -> None:
    ended, disabled = cluster.key(), cluster.key()
    cluster.admin.post(f"/admin/v1/keys/{ended.key['id']}/revoke").raise_for_status()
    cluster.admin.patch(f"/admin/v1/keys/{disabled.key['id']}", json={"disabled": True}).raise_for_status()
    time.sleep(1)
    with cluster.running.client("sk-never-0123456789abcdef") as never:
        answers = [client.get("/v1/models") for client in (ended.http, disabled.http, never)]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
