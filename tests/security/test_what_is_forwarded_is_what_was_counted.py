"""What is forwarded is what was counted."""

import itertools
from typing import Any

import grpc
import httpx
import pytest

from gateway import paths
from gateway.endpoints.closed import listed
from gateway.grpc.chat_pb2_grpc import ChatStub
from scripts.fields_page import BODIES
from tests.security.conftest import ASSUMED_TOKENS, Cluster, Holder, ended, over_grpc
from tests.security.table import ASKING, asked_with, endpoints_with

LISTS = dict(BODIES)
OF_VLLM = (
    *("best_of", "chat_template", "ec_transfer_params", "enable_response_messages", "guided_json", "guided_regex"),
    *("kv_transfer_params", "length_penalty", "media_io_kwargs", "mm_processor_kwargs", "previous_input_messages"),
    *("priority", "prompt_embeds", "request_id", "session_id", "stream_interval", "use_beam_search", "vllm_xargs"),
)
"""What vLLM's own server documents besides."""

EVERY_FIELD = sorted({name for body in LISTS.values() for name in listed(body)} | {*OF_VLLM, "max_toknes"})
HUGE: tuple[Any, ...] = (2**40, "x" * 100_000, ["x"] * 5_000, {"a": ["x" * 100_000]})
REFUSALS = {"invalid_value", "unsupported_parameter", "missing_required_parameter", "previous_response_not_found"}
TOKENS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


def foreign(path: str) -> list[str]:
    return [name for name in EVERY_FIELD if name not in listed(LISTS[path])]


def is_named(answer: httpx.Response, name: str) -> bool:
    """Say whether the answer is a 400 that names the field."""
    error = answer.json()["error"] if answer.status_code == 400 else {}
    return (error.get("param") or "").split(".")[0] == name


@pytest.mark.parametrize("path", asked_with("bound"))
def test_a_field_of_another_endpoint_is_refused_by_its_name(holder: Holder, path: str) -> None:
    assert [name for name in foreign(path) if not is_named(holder.ask(path, **{name: HUGE[0]}), name)] == []


@pytest.mark.parametrize("path", asked_with("bound"))
def test_a_huge_value_is_refused_by_its_field_or_bounded(cluster: Cluster, path: str) -> None:
    holder = cluster.key(limits=[{"of": "tokens", "per": "day", "amount": 10**12}])
    cluster.there.bodies.clear()
    for name, value in itertools.product(sorted(listed(LISTS[path])), HUGE):
        answer = holder.ask(path, **{name: value})
        assert answer.status_code in {200, 400, 404, 503 if ASKING[path].model.startswith("never") else 200}, (
            name,
            answer.text,
        )
        assert answer.status_code != 400 or answer.json()["error"]["code"] in REFUSALS, (name, answer.text)
    assert {body["n"] for body in cluster.there.bodies if "n" in body} == set()
    assert all(bound_of(body) <= ASSUMED_TOKENS for body in cluster.there.bodies if path == paths.CHAT)


def bound_of(body: dict[str, Any]) -> int:
    """Return the tokens that an engine may answer with; what it is not told is no bound."""
    return min([body[name] for name in TOKENS if name in body], default=2**31)


@pytest.mark.parametrize(("path", "most"), [(paths.CHAT, ASSUMED_TOKENS), (paths.COMPLETIONS, 16), (paths.MESSAGES, 5)])
def test_an_engine_is_told_the_bound_that_was_reserved(cluster: Cluster, path: str, most: int) -> None:
    holder = cluster.key(limits=[{"of": "tokens", "per": "day", "amount": 1000}])
    cluster.there.bodies.clear()
    assert holder.ask(path).status_code == 200
    assert [bound_of(body) for body in cluster.there.bodies] == [most]


def test_an_answer_without_a_bound_ends_where_its_reservation_does(cluster: Cluster) -> None:
    holder = cluster.key(limits=[{"of": "cost", "per": "day", "amount": 100}])
    chat = holder.http.post(paths.CHAT, json={"model": "echo", **ASKING[paths.CHAT].body}).json()
    response = holder.http.post(paths.RESPONSES, json={"model": "echo", "input": "hello"}).json()
    assert (chat["usage"]["completion_tokens"], chat["choices"][0]["finish_reason"]) == (ASSUMED_TOKENS, "length")
    assert (response["usage"]["output_tokens"], response["status"]) == (ASSUMED_TOKENS, "incomplete")


def test_where_no_limit_counts_tokens_an_answer_is_as_long_as_the_model_wants(holder: Holder) -> None:
    chat = holder.http.post(paths.CHAT, json={"model": "echo", **ASKING[paths.CHAT].body}).json()
    assert chat["usage"]["completion_tokens"] == 64


def test_a_client_gives_no_template_of_its_own(holder: Holder) -> None:
    arguments = {"chat_template": "{{ cycler.__init__.__globals__ }}"}
    for path in (paths.CHAT, paths.MESSAGES, paths.COUNT_TOKENS, paths.TOKENIZE, paths.RESPONSES, paths.SCORE):
        assert is_named(holder.ask(path, chat_template_kwargs=arguments), "chat_template_kwargs")


def test_over_grpc_the_same_fields_are_refused(holder: Holder, chat: ChatStub) -> None:
    for endpoint, name in itertools.product(endpoints_with("bound", "gRPC"), foreign(paths.CHAT)):
        with pytest.raises(grpc.RpcError) as refused:
            over_grpc(chat, endpoint, holder, **{name: HUGE[0]})
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert f"'{name}'" in refused.value.details()


@pytest.mark.parametrize("endpoint", endpoints_with("bound", "batch line"))
def test_in_a_batchs_lines_the_same_fields_are_refused(holder: Holder, endpoint: str) -> None:
    path = endpoint.removeprefix("batch line ")
    names = foreign(path)[:90]  # as many mistakes as a batch tells
    asking = ASKING[path]
    batch = holder.batch(path, *({"model": asking.model, **asking.body, name: HUGE[0]} for name in names))
    done = ended(holder, batch)
    assert [each["param"] for each in done["errors"]["data"]] == [f"body.{name}" for name in names]


def test_bodies_of_objects_and_keys_have_closed_lists_too(cluster: Cluster, holder: Holder) -> None:
    everything = cluster.admin
    bodies = {
        "POST /v1/batches": {"input_file_id": "file-1", "endpoint": paths.CHAT, "completion_window": "24h"},
        "POST /admin/v1/projects": {"name": "p"},
        "PATCH /admin/v1/projects/{id}": {},
        "POST /admin/v1/keys": {"name": "k"},
        "PATCH /admin/v1/keys/{id}": {},
        "POST /admin/v1/keys/{id}/rotate": {},
    }
    for endpoint in (name for name in endpoints_with("bound") if name.split(" ")[1] not in ASKING):
        if endpoint.startswith(("gRPC", "batch line", "POST /v1/files")):
            continue  # above; and of a file's form nothing but its own fields is read
        method, _, path = endpoint.partition(" ")
        client = everything if "admin" in path else holder.http
        path = path.format(id=holder.key["project" if "projects" in path else "id"])
        answer = client.request(method, path, json={**bodies[endpoint], "max_tokens": HUGE[0]})
        assert answer.status_code == 400, (endpoint, answer.text)
