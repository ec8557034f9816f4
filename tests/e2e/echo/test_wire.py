"""What a client sees on the wire (WIRE.md C2 to C4), on the real path: HAProxy, gateway, engine."""

import json
import re

import httpx
import pytest

from tests.e2e.running import Raygate

CHAT = "/v1/chat/completions"
HELLO = {"model": "echo", "messages": [{"role": "user", "content": "one two three"}]}


def error_of(response: httpx.Response) -> dict[str, object]:
    assert response.headers["content-type"] == "application/json"
    assert "x-request-id" in response.headers
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    return dict(error)


def events_of(response: httpx.Response) -> list[str]:
    return [part.removeprefix("data: ") for part in response.text.split("\n\n") if part.startswith("data: ")]


def test_c3_every_response_carries_its_headers(http: httpx.Client) -> None:
    for response in (http.get("/healthz"), http.get("/nowhere"), http.post(CHAT, json=HELLO)):
        assert response.headers["openai-version"] == "2020-10-01"
        assert int(response.headers["openai-processing-ms"]) >= 0
        assert len(response.headers.get_list("x-request-id")) == 1


@pytest.mark.parametrize("offered", [["one", "two"], ["one,two"], ["one two"], ["one, two"]], ids=repr)
def test_c3_answer_and_ledger_have_one_clean_id_whatever_is_sent(
    echo: Raygate, http: httpx.Client, offered: list[str]
) -> None:
    headers = [("x-request-id", each) for each in offered]
    (told,) = http.post(CHAT, json=HELLO, headers=headers).headers.get_list("x-request-id", split_commas=False)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", told)
    assert echo.ledger_row(told)["status"] == 200


def test_c3_a_clients_request_id_comes_back(http: httpx.Client) -> None:
    response = http.post(CHAT, json=HELLO, headers={"x-request-id": "my-id.1"})
    assert response.headers["x-request-id"] == "my-id.1"


@pytest.mark.parametrize("unfit", ["a b", "x" * 129, "<script>"])
def test_c3_an_unfit_request_id_is_replaced(http: httpx.Client, unfit: str) -> None:
    response = http.post(CHAT, json=HELLO, headers={"x-request-id": unfit})
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", response.headers["x-request-id"])


def test_c3_streams_are_marked_as_streams(http: httpx.Client) -> None:
    response = http.post(CHAT, json={**HELLO, "stream": True}, headers={"accept-encoding": "gzip"})
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-accel-buffering"] == "no"
    assert "content-encoding" not in response.headers


def test_c4_a_stream_has_a_role_deltas_a_finish_and_done(http: httpx.Client) -> None:
    *chunks, done = events_of(http.post(CHAT, json={**HELLO, "stream": True, "max_tokens": 3, "n": 2}))
    assert done == "[DONE]"
    parsed = [json.loads(chunk) for chunk in chunks]
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in parsed}) == 1
    for index in (0, 1):
        choices = [c for chunk in parsed for c in chunk["choices"] if c["index"] == index]
        assert choices[0]["delta"] == {"role": "assistant", "content": ""}
        assert "".join(c["delta"].get("content", "") for c in choices) == "one two three"
        assert choices[-1]["delta"] == {}
        assert [c["finish_reason"] for c in choices].count("length") == 1


def test_c4_usage_comes_only_to_those_who_ask(http: httpx.Client) -> None:
    asked = http.post(CHAT, json={**HELLO, "stream": True, "stream_options": {"include_usage": True}})
    usage = json.loads(events_of(asked)[-2])
    assert usage["choices"] == []
    assert usage["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 64,
        "total_tokens": 67,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    assert "usage" not in http.post(CHAT, json={**HELLO, "stream": True}).text


def test_c4_a_silent_stream_is_kept_alive_by_comments(http: httpx.Client) -> None:
    response = http.post(CHAT, json={**HELLO, "model": "slow", "stream": True, "max_tokens": 1})
    assert response.text.startswith(": keep-alive\n\n")


def test_c5_without_stream_the_answer_is_whole(http: httpx.Client) -> None:
    answer = http.post(CHAT, json={**HELLO, "max_tokens": 3}).json()
    message = {"role": "assistant", "content": "one two three", "refusal": None, "annotations": []}
    assert answer["choices"] == [{"index": 0, "message": message, "logprobs": None, "finish_reason": "length"}]
    assert answer["usage"]["total_tokens"] == 6


def test_a_request_without_a_model_goes_to_the_default(http: httpx.Client) -> None:
    assert http.post(CHAT, json={"messages": HELLO["messages"]}).json()["model"] == "echo"


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{nope", 400, "invalid_json"),
        (b"[1, 2]", 400, "invalid_value"),
        (b'{"model":"echo","messages":"text"}', 400, "invalid_value"),
        (b'{"model":"echo","messages":[{"role":"user","content":7}]}', 400, "invalid_value"),
        (b'{"model":"echo"}', 400, "missing_required_parameter"),
        (b'{"model":"nope","messages":[{"role":"user","content":"x"}]}', 404, "model_not_found"),
        (b'{"model":"echo","messages":[{"role":"user","content":"\xff"}]}', 400, "invalid_json"),
        (b'{"messages":' + b"[" * 10_000 + b"]" * 10_000 + b"}", 400, "invalid_json"),
        (b'{"messages":' + b"[" * 100 + b"]" * 100 + b"}", 400, "invalid_value"),
        (b'{"messages":[{"role":"user","content":"x"}],"max_tokens":-1}', 400, "invalid_value"),
        (b'{"messages":[{"role":"user","content":"x"}],"temperature":"hot"}', 400, "invalid_value"),
    ],
)
def test_c2_bad_bodies_are_refused_in_the_contract(http: httpx.Client, content: bytes, status: int, code: str) -> None:
    response = http.post(CHAT, content=content, headers={"content-type": "application/json"})
    assert response.status_code == status
    assert error_of(response)["code"] == code


def test_c2_a_body_of_20_mb_is_413_before_it_is_parsed(http: httpx.Client) -> None:
    response = http.post(CHAT, content=b"x" * 20_000_000, headers={"content-type": "application/json"})
    assert response.status_code == 413
    assert error_of(response)["code"] == "request_too_large"


def test_c2_another_content_type_is_415(http: httpx.Client) -> None:
    response = http.post(CHAT, content=b"{}", headers={"content-type": "text/plain"})
    assert response.status_code == 415
    error_of(response)


def test_c2_unknown_routes_are_json_404(http: httpx.Client) -> None:
    for path in ("/", "/v1", "/v1/nope", "/v1/chat/completions/", "/docs"):
        response = http.get(path)
        assert response.status_code == 404, path
        error_of(response)


def test_c2_a_wrong_method_is_405_and_says_what_is_allowed(http: httpx.Client) -> None:
    response = http.get(CHAT)
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    error_of(response)


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, None),
        ("Bearer sk-wrong", "invalid_api_key"),
        ("Basic abc", "invalid_api_key"),
        ("Bearer x y", "invalid_api_key"),
    ],
)
def test_c2_no_key_and_wrong_keys_are_401(echo: Raygate, authorization: str | None, code: str | None) -> None:
    headers = {"authorization": authorization} if authorization else {}
    response = httpx.post(echo.url + CHAT, json=HELLO, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert error_of(response)["code"] == code


def test_two_authorization_headers_are_refused(echo: Raygate, http: httpx.Client) -> None:
    valid = http.headers["authorization"]
    response = httpx.post(
        echo.url + CHAT, json=HELLO, headers=[("authorization", valid), ("authorization", "Bearer x")]
    )
    assert response.status_code == 401


def test_c7_models_are_listed_and_described(http: httpx.Client) -> None:
    listed = http.get("/v1/models").json()
    assert [model["id"] for model in listed["data"]] == [
        "echo",
        "slow",
        "busy",
        "team/echo",
        "vectors",
        "ears",
        "backed",
        "either",
    ]
    assert http.get("/v1/models/team/echo").json() in listed["data"]
    assert error_of(http.get("/v1/models/nope"))["code"] == "model_not_found"


def test_the_openapi_schema_documents_the_chat_route(http: httpx.Client) -> None:
    assert "post" in http.get("/openapi.json").json()["paths"][CHAT]
