"""Secrets go to the processes that need them."""

from gateway import paths
from tests.e2e.running import KEY
from tests.security.conftest import PROVIDERS_KEY, Cluster, Holder


def environments(cluster: Cluster, *words: str) -> list[str]:
    """Return the environments of the processes whose title holds the words."""
    return ["\n".join(process.environ().values()) for process in cluster.running.processes(*words)]


def test_a_providers_key_is_known_to_its_own_engine_alone(cluster: Cluster) -> None:
    titles = ("ServeReplica:gateway", *(f"ServeReplica:model-{name}:" for name in ("echo", "slow", "elsewhere")))
    known = {title for title in titles if any(PROVIDERS_KEY in each for each in environments(cluster, title))}
    assert all(environments(cluster, title) for title in titles)
    assert known == {"ServeReplica:model-elsewhere:"}


def test_no_process_below_has_the_first_key_or_the_databases_url(cluster: Cluster) -> None:
    everybody = environments(cluster)
    assert len(everybody) > 5
    assert not any(KEY in each or cluster.database in each for each in everybody)


def test_those_that_need_them_have_them_all_the_same(cluster: Cluster, holder: Holder) -> None:
    body = {"model": "elsewhere", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    answer = holder.http.post(paths.CHAT, json=body)
    assert answer.status_code == 200
    assert cluster.there.shown[-1] == f"Bearer {PROVIDERS_KEY}"
    assert cluster.running.ledger_row(answer.headers["x-request-id"])["model"] == "elsewhere"
