"""A key's end is the end of what it started."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import grpc
import pytest

from gateway import paths
from gateway.grpc.chat_pb2 import ChatMessage, ChatRequest, ChatResponse
from gateway.grpc.chat_pb2_grpc import ChatStub
from tests.e2e.waiting import within
from tests.issuer import token
from tests.security.conftest import EVERYTHING, Cluster, Holder, ended
from tests.security.slowly import Slow, send_all
from tests.security.table import ASKING, asked_with, endpoints_with

SOON_S = 1.5
"""A second, and what a busy machine takes to notice."""

LONG: dict[str, Any] = {"messages": [{"role": "user", "content": "word"}], "max_tokens": 2000}
LARGE = 2**26
"""Bytes of a file: more than all the buffers on its way may hold."""

ECHO = {"model": "echo", "input": "hello"}
ENDS = ("revoked", "disabled", "expired", "narrowed", "archived")


def end(cluster: Cluster, holder: Holder, how: str) -> float:
    """Let a key end; return when it did, by the monotonic clock."""
    key, admin = f"/admin/v1/keys/{holder.key['id']}", cluster.admin
    match how:
        case "revoked":
            answer = admin.post(f"{key}/revoke")
        case "disabled":
            answer = admin.patch(key, json={"disabled": True})
        case "expired":
            answer = admin.patch(key, json={"expires_at": time.time() + 0.3})
            time.sleep(0.3)
        case "narrowed":
            answer = admin.patch(key, json={"scopes": ["metrics"]})
        case _:
            answer = admin.post(f"/admin/v1/projects/{holder.key['project']}/archive")
    assert answer.is_success, answer.text
    return time.monotonic()


def bodies(holder: Holder, project: str) -> list[Slow]:
    """Return a request for every endpoint that has a body."""
    asked = [
        Slow.json(f"POST {path}", {"model": ASKING[path].model, **ASKING[path].body})
        for path in asked_with("revocation")
        if path != paths.TRANSCRIPTIONS
    ]
    changes = {
        "POST /v1/batches": {"input_file_id": "file-1", "endpoint": paths.CHAT, "completion_window": "24h"},
        "POST /admin/v1/projects": {"name": f"late-{time.time_ns()}"},
        "PATCH /admin/v1/projects/{id}": {"name": "late"},
        "POST /admin/v1/keys": {"name": f"late-{time.time_ns()}", "scopes": EVERYTHING},
        "PATCH /admin/v1/keys/{id}": {"name": "late"},
        "POST /admin/v1/keys/{id}/rotate": {"overlap_s": 60},
    }
    made = [
        Slow.json(name, body, name.partition(" ")[2].format(id=project if "projects" in name else holder.key["id"]))
        for name, body in changes.items()
    ]
    forms = [
        Slow.form("POST /v1/files", {"purpose": "user_data"}),
        Slow.form(f"POST {paths.TRANSCRIPTIONS}", {"model": "never-hear"}),
    ]
    return [*asked, *made, *forms]


def test_every_endpoint_with_a_body_is_tried(cluster: Cluster, holder: Holder) -> None:
    started = {"GET /v1/files/{file_id}/content"}  # and what follows below over gRPC and in batches
    tried = {slow.name for slow in bodies(holder, "default")} | started
    over_http = {name for name in endpoints_with("revocation") if not name.startswith(("gRPC", "batch line"))}
    assert tried == over_http


@pytest.mark.parametrize("how", ENDS)
def test_a_body_that_arrives_meanwhile_is_no_request(cluster: Cluster, how: str) -> None:
    project = cluster.project()
    holder = cluster.key(scopes=EVERYTHING, project=project)
    slow = bodies(holder, project)
    with ThreadPoolExecutor(len(slow)) as pool:
        sending = send_all(pool, cluster.running.port, holder.secret, slow)
        time.sleep(0.5)
        ended_at = end(cluster, holder, how)
        answers = [future.result() for future in sending]
    assert {answer.name: answer.status for answer in answers} == {each.name: 401 for each in slow}
    assert {answer.name for answer in answers if answer.at - ended_at > SOON_S} == set()


def test_a_key_is_asked_for_as_it_is_when_its_body_has_come(cluster: Cluster) -> None:
    holder = cluster.key()
    slow = [Slow.json(f"POST {paths.CHAT}", {"model": "echo", **LONG}), Slow.json(f"POST {paths.RESPONSES}", ECHO)]
    slow = [replace(each, slow_bytes=20) for each in slow]  # two seconds' bytes
    with ThreadPoolExecutor() as pool:
        sending = send_all(pool, cluster.running.port, holder.secret, slow)
        cluster.admin.patch(f"/admin/v1/keys/{holder.key['id']}", json={"models": ["slow"]}).raise_for_status()
        assert [future.result().status for future in sending] == [401, 401]


@pytest.mark.parametrize("how", ENDS)
def test_what_runs_and_what_waits_ends_within_a_second(cluster: Cluster, chat: ChatStub, how: str) -> None:
    holder = cluster.key(project=cluster.project())
    request = ChatRequest(model="slow", messages=[ChatMessage(role="user", content="word")], max_tokens=2000)
    waiting = ChatRequest(model="single", messages=[ChatMessage(role="user", content="word")], max_tokens=2000)
    background = {**ECHO, "model": "slow", "background": True, "max_output_tokens": 2000}
    before = len(cluster.tokens())
    with ThreadPoolExecutor(8) as pool:
        whole = pool.submit(holder.http.post, paths.CHAT, json={**LONG, "model": "slow"})
        streamed = pool.submit(last_event, holder, {**LONG, "model": "slow", "stream": True})
        calls = [
            *(pool.submit(how_it_ends, chat.Stream, each, holder) for each in (request, waiting, waiting)),
            pool.submit(how_it_ends, chat.Complete, request, holder),
        ]
        begun = holder.http.post(paths.RESPONSES, json=background).json()["id"]
        batch = holder.batch(paths.CHAT, *[{**LONG, "model": "slow"}] * 3)
        # All but one of those that wait for each other, and one line.
        assert within(10, lambda: len(set(cluster.tokens()[before:])) >= 7)
        end(cluster, holder, how)
        time.sleep(SOON_S)
        ended_after = len(cluster.tokens())
        assert whole.result().status_code == 401
        assert streamed.result()["error"]["code"] == "invalid_api_key"
        assert {call.result() for call in calls} <= {
            grpc.StatusCode.UNAUTHENTICATED,  # it had not begun
            grpc.StatusCode.INTERNAL,  # it had
        }
        assert state_of(cluster, holder, paths.RESPONSES, begun) == "failed"
        assert within(5, lambda: state_of(cluster, holder, "/v1/batches", batch) == "failed")
    assert len(cluster.tokens()) == ended_after


def how_it_ends(method: Callable[..., Any], request: ChatRequest, holder: Holder) -> grpc.StatusCode:
    """Ask over gRPC, and read all that comes; return the code of the end."""
    try:
        answer = method(request, metadata=holder.metadata, timeout=60)
        for _ in () if isinstance(answer, ChatResponse) else answer:
            pass
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


def last_event(holder: Holder, body: dict[str, Any]) -> dict[str, Any]:
    """Return the last event of a stream, before its end."""
    with holder.http.stream("POST", paths.CHAT, json=body) as stream:
        events = [line for line in stream.iter_lines() if line.startswith("data: {")]
    return dict(json.loads(events[-1].removeprefix("data: ")))


def state_of(cluster: Cluster, holder: Holder, path: str, which: str) -> str:
    """Return what an object of the key's project has come to, as another key of the project sees it."""
    project = holder.key["project"]
    cluster.admin.post(f"/admin/v1/projects/{project}/restore")
    return str(cluster.key(project=project).http.get(f"{path}/{which}").json()["status"])


def test_a_batch_that_waits_for_its_turn_ends_too(cluster: Cluster) -> None:
    holder, busy = cluster.key(project=cluster.project()), cluster.key()
    with busy.http.stream("POST", paths.CHAT, json={**LONG, "model": "single", "stream": True}) as stream:
        next(stream.iter_lines())
        batch = holder.batch(paths.CHAT, *[{**LONG, "model": "single"}] * 3)
        assert within(5, lambda: holder.http.get(f"/v1/batches/{batch}").json()["status"] == "in_progress")
        end(cluster, holder, "disabled")
        observer = cluster.key(project=holder.key["project"])
        assert ended(observer, batch)["errors"]["data"][0]["code"] == "invalid_api_key"


def test_a_download_ends_at_its_next_piece(cluster: Cluster) -> None:
    holder = cluster.key()
    made = holder.http.post("/v1/files", files={"file": ("a", b"x" * LARGE), "purpose": (None, "user_data")}).json()
    with holder.http.stream("GET", f"/v1/files/{made['id']}/content") as download:
        pieces = download.iter_raw(2**16)
        size = len(next(pieces))
        end(cluster, holder, "revoked")
        time.sleep(SOON_S)
        size += sum(map(len, until_cut(pieces)))
    assert size < LARGE


def until_cut(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what comes before the connection ends, however it does."""
    try:
        yield from pieces
    except Exception:
        return


def test_a_persons_stream_ends_with_the_token(cluster: Cluster) -> None:
    expires_at = time.time() + 3
    with cluster.running.client(token(sub="ada", exp=expires_at)) as person:
        assert person.get("/v1/models").status_code == 200
        event = last_event(Holder(cluster, {}, person), {**LONG, "model": "slow", "stream": True})
    assert event["error"]["code"] == "invalid_api_key"
    assert time.time() < expires_at + SOON_S


def test_a_narrower_token_lets_a_person_do_less(cluster: Cluster) -> None:
    wide, narrow = token(sub="eve"), token(sub="eve", models=["slow"])
    with cluster.running.client(wide) as before, cluster.running.client(narrow) as after:
        assert before.post(paths.RESPONSES, json=ECHO).status_code == 200
        assert after.post(paths.RESPONSES, json=ECHO).status_code == 404
    with cluster.running.client(token(sub="eve", scope="openid")) as stranger:
        assert stranger.post(paths.RESPONSES, json=ECHO).status_code == 403
