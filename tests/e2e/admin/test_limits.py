"""What a client meets that reaches a limit."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest

from tests.e2e.admin.conftest import CHAT, User
from tests.e2e.running import Raygate
from tests.e2e.waiting import within

NewUser = Callable[..., User]


def test_the_request_after_the_limit_is_told_which_limit_and_when_to_come_back(user: NewUser) -> None:
    limited = user(limits=[{"of": "requests", "per": "minute", "amount": 3}])
    answers = [limited.chat() for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["x-ratelimit-remaining-requests"] == "2"
    refused = answers[3]
    error = refused.json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("requests", "rate_limit_exceeded", None)
    assert "limit of 3 requests per minute for this key is reached: 0 left" in error["message"]
    assert 0 < int(refused.headers["retry-after"]) <= 61
    assert 0 < int(refused.headers["retry-after-ms"]) <= 61_000
    assert refused.headers["x-ratelimit-limit-requests"] == "3"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert "x-should-retry" not in refused.headers


def test_tokens_are_reserved_by_max_tokens_and_settled_to_what_was_used(user: NewUser) -> None:
    limited = user(limits=[{"of": "tokens", "per": "minute", "amount": 1000}])
    body = {"model": "slow", "messages": [{"role": "user", "content": "word"}], "max_tokens": 900, "stream": True}
    with limited.http.stream("POST", CHAT, json=body) as stream:
        assert int(stream.headers["x-ratelimit-remaining-tokens"]) <= 100
        assert limited.chat(max_tokens=200).status_code == 429
    answers: list[httpx.Response] = []
    assert within(10, lambda: answers.append(limited.chat(max_tokens=200)) or answers[-1].is_success)
    settled = answers[-1]
    assert 700 < int(settled.headers["x-ratelimit-remaining-tokens"]) < 800
    assert settled.json()["usage"]["total_tokens"] == 201
    later = [limited.chat(max_tokens=1) for _ in range(8) if not time.sleep(0.2)]  # both replicas hear of all
    assert 1000 - 201 - 120 < int(later[-1].headers["x-ratelimit-remaining-tokens"]) <= 1000 - 201


def test_a_request_that_asks_for_more_than_the_limit_is_not_told_to_come_back(user: NewUser) -> None:
    limited = user(limits=[{"of": "tokens", "per": "minute", "amount": 100}])
    refused = limited.chat(max_tokens=200)
    assert refused.status_code == 429
    assert refused.json()["error"]["type"] == "tokens"
    assert refused.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.headers


def test_as_many_requests_at_a_time_as_are_allowed(user: NewUser) -> None:
    limited = user(limits=[{"of": "concurrency", "amount": 2}])
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda _: limited.chat("slow", max_tokens=50), range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert "limit of 2 requests at one time for this key" in refused.json()["error"]["message"]
    assert within(5, lambda: limited.chat("slow").status_code == 200)


def test_a_budget_of_money_counts_the_price_of_the_model(user: NewUser, running: Raygate) -> None:
    limited = user(limits=[{"of": "cost", "per": "month", "amount": 0.15, "model": "echo"}])
    assert limited.chat(max_tokens=100).status_code == 200
    refused = limited.chat(max_tokens=100)
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
    assert "0.15 cost per month (UTC) for models echo for this key" in error["message"]
    assert refused.headers["x-should-retry"] == "false"
    assert limited.chat("slow").status_code == 200


def test_the_sdk_makes_one_attempt_at_an_exhausted_budget(user: NewUser, running: Raygate) -> None:
    limited = user(limits=[{"of": "requests", "per": "day", "amount": 0}])
    attempts: list[httpx.Request] = []
    counted = httpx.Client(event_hooks={"request": [attempts.append]})
    sdk = openai.OpenAI(base_url=running.openai_url, api_key=limited.key["secret"], http_client=counted)
    with pytest.raises(openai.RateLimitError) as refused:
        sdk.chat.completions.create(model="echo", messages=[{"role": "user", "content": "word"}])
    assert refused.value.code == "insufficient_quota"
    assert len(attempts) == 1


def test_a_limit_of_a_project_binds_its_keys_all_together(user: NewUser, admin: httpx.Client) -> None:
    project = {"name": f"team-{time.time_ns()}", "limits": [{"of": "requests", "per": "minute", "amount": 20}]}
    project_id = admin.post("/admin/v1/projects", json=project).json()["id"]
    first, second = user(project=project_id), user(project=project_id)
    answers = [one.chat() for _ in range(16) for one in (first, second)]
    assert [answer.status_code for answer in answers].count(200) == 20
    refused = answers[-1]
    assert refused.status_code == 429
    assert "for this project" in refused.json()["error"]["message"]


def test_a_new_limit_holds_within_a_second_on_every_replica(user: NewUser, admin: httpx.Client) -> None:
    limited = user()
    changed = admin.patch(
        f"/admin/v1/keys/{limited.key['id']}", json={"limits": [{"of": "requests", "per": "minute", "amount": 0}]}
    )
    assert changed.status_code == 200
    time.sleep(1)
    assert {limited.chat().status_code for _ in range(8)} == {429}


def test_both_replicas_tell_the_same_of_a_keys_limits(user: NewUser) -> None:
    limited = user(limits=[{"of": "requests", "per": "minute", "amount": 10}])
    for _ in range(4):
        limited.chat()
    time.sleep(0.5)
    told = [limited.http.get("/v1/limits").json()["data"][0]["remaining"] for _ in range(6)]
    assert told == [6] * 6
