"""A key sees only what is its project's."""

from dataclasses import dataclass

import httpx
import pytest

from gateway import paths
from tests.e2e.waiting import within
from tests.security.conftest import Cluster, Holder
from tests.security.table import ASKING, endpoints_with


@dataclass(frozen=True)
class Theirs:
    """What a project has, and a key of another."""

    owner: Holder
    stranger: Holder
    file: str
    batch: str
    response: str


@pytest.fixture(scope="module")
def theirs(cluster: Cluster) -> Theirs:
    owner, stranger = (cluster.key(project=cluster.project()) for _ in range(2))
    asking = ASKING[paths.CHAT]
    file = owner.upload("a line")
    batch = owner.batch(paths.CHAT, {"model": "slow", "max_tokens": 200, **asking.body})
    response = owner.http.post(paths.RESPONSES, json={"model": "echo", "input": "hello"}).json()["id"]
    return Theirs(owner, stranger, file, batch, response)


LISTS = ("GET /v1/files", "GET /v1/batches")
FIGURES = ("GET /v1/usage", "GET /v1/limits")


def refused(theirs: Theirs, holder: Holder, endpoint: str) -> httpx.Response:
    """Return the answer of an endpoint to who asks for what is the owner's."""
    method, _, path = endpoint.partition(" ")
    path = path.format(response_id=theirs.response, file_id=theirs.file, batch_id=theirs.batch)
    bodies = {
        "POST /v1/batches": {"input_file_id": theirs.file, "endpoint": paths.CHAT, "completion_window": "24h"},
        f"POST {paths.RESPONSES}": {"model": "echo", "input": "and?", "previous_response_id": theirs.response},
    }
    return holder.http.request(method, path, json=bodies.get(endpoint))


def test_what_is_anothers_is_not_there(theirs: Theirs) -> None:
    answers = {
        name: refused(theirs, theirs.stranger, name)
        for name in endpoints_with("isolation")
        if name not in (*LISTS, *FIGURES)
    }
    statuses = {name: answer.status_code for name, answer in answers.items()}
    assert statuses == {name: 400 if name == f"POST {paths.RESPONSES}" else 404 for name in answers}


@pytest.mark.parametrize("endpoint", LISTS)
def test_lists_are_the_projects_own_wherever_they_begin(theirs: Theirs, endpoint: str) -> None:
    path = endpoint.removeprefix("GET ")
    mine = {each["id"] for each in theirs.owner.http.get(path).json()["data"]}
    assert mine & {theirs.file, theirs.batch}
    for after in (None, theirs.file, theirs.batch, "zzz"):
        asked = {"after": after} if after else {}
        assert theirs.stranger.http.get(path, params=asked).json()["data"] == []


def test_figures_are_the_keys_own(theirs: Theirs) -> None:
    def tokens(holder: Holder) -> int:
        return sum(each["completion_tokens"] for each in holder.http.get("/v1/usage").json()["data"])

    assert within(5, lambda: tokens(theirs.owner) > 0)
    assert tokens(theirs.stranger) == 0
    assert theirs.stranger.http.get("/v1/limits").json()["data"] == []


def test_the_owner_may_all_of_it(theirs: Theirs) -> None:
    ends = ("DELETE", f"POST {paths.RESPONSES}/")
    kept = [name for name in endpoints_with("isolation") if not name.startswith(ends)]
    assert [name for name in kept if not refused(theirs, theirs.owner, name).is_success] == []
