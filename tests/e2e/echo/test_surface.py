"""The endpoints beside chat, on the whole path: routed by model, within bounds, in the API's form."""

import base64
import contextlib
import json
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.e2e.running import KEY, Raygate
from tests.e2e.waiting import within


@pytest.fixture
def sdk(echo: Raygate) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{echo.url}/v1", api_key=KEY, max_retries=0)


def complete(http: httpx.Client, **fields: Any) -> dict[str, Any]:
    response = http.post("/v1/completions", json={"model": "echo", **fields})
    assert response.status_code == 200, response.text
    return dict(response.json())


def refusal(http: httpx.Client, path: str, body: dict[str, Any], status: int = 400) -> dict[str, Any]:
    response = http.post(path, json=body)
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return dict(error)


def test_c6_a_completion_has_the_apis_form_and_sixteen_tokens_by_default(http: httpx.Client) -> None:
    answer = complete(http, prompt="one two")
    assert answer["id"].startswith("cmpl-")
    assert answer["object"] == "text_completion"
    assert answer["usage"]["completion_tokens"] == 16
    assert answer["choices"][0]["text"].startswith("one two one")


def test_c6_choices_are_in_the_order_of_prompts_then_n(http: httpx.Client) -> None:
    answer = complete(http, prompt=["a", "b"], n=2, max_tokens=1)
    assert [(choice["index"], choice["text"]) for choice in answer["choices"]] == [
        (0, "a"),
        (1, "a"),
        (2, "b"),
        (3, "b"),
    ]


@pytest.mark.parametrize("prompt", ["a b c", ["a b c"], [1, 2, 3], [[1, 2, 3]]])
def test_c6_a_prompt_is_a_text_texts_tokens_or_lists_of_tokens(http: httpx.Client, prompt: Any) -> None:
    assert complete(http, prompt=prompt, max_tokens=1)["usage"]["prompt_tokens"] == 3


def test_a_completion_streams_through_the_sdk(sdk: openai.OpenAI) -> None:
    stream = sdk.completions.create(
        model="echo", prompt="one two", max_tokens=3, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == "one two one"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": {"text": "a"}}, "prompt"),
        ({}, "prompt"),
        ({"prompt": "a", "suffix": "z"}, "suffix"),
        ({"prompt": "a", "best_of": 3}, "best_of"),
        ({"prompt": "a", "logprobs": 21}, "logprobs"),
        ({"prompt": ["a"] * 64, "n": 4}, "prompt"),
        ({"prompt": "a", "stream_options": {"include_usage": True}}, "stream_options"),
    ],
)
def test_a_completion_outside_the_bounds_is_refused_by_the_field(
    http: httpx.Client, fields: dict[str, Any], param: str
) -> None:
    error = refusal(http, "/v1/completions", {"model": "echo", **fields})
    assert (error["param"] or "").split(".")[0] == param


def test_c7_base64_embeddings_are_the_same_floats(http: httpx.Client) -> None:
    body = {"model": "vectors", "input": ["red fox", "red hen"]}
    plain = http.post("/v1/embeddings", json=body).json()
    packed = http.post("/v1/embeddings", json={**body, "encoding_format": "base64"}).json()
    for one, other in zip(plain["data"], packed["data"], strict=True):
        raw = base64.b64decode(other["embedding"])
        assert struct.unpack(f"<{len(raw) // 4}f", raw) == pytest.approx(one["embedding"], abs=1e-6)
    assert plain["usage"] == {"prompt_tokens": 4, "total_tokens": 4}


def test_embeddings_through_the_sdk(sdk: openai.OpenAI) -> None:
    answer = sdk.embeddings.create(model="vectors", input="red fox", dimensions=8)
    assert len(answer.data[0].embedding) == 8


@pytest.mark.parametrize("texts", ["", [], ["a", ""], [[]], [1.5], ["a"] * 2049])
def test_inputs_outside_the_bounds_are_refused(http: httpx.Client, texts: Any) -> None:
    assert refusal(http, "/v1/embeddings", {"model": "vectors", "input": texts})["param"].startswith("input")


@pytest.mark.parametrize(
    ("path", "model", "body"),
    [
        ("/v1/embeddings", "echo", {"input": "a"}),
        ("/v1/chat/completions", "vectors", {"messages": [{"role": "user", "content": "a"}]}),
        ("/v1/rerank", "vectors", {"query": "a", "documents": ["a"]}),
        ("/v1/score", "backed", {"text_1": "a", "text_2": "b"}),
        ("/tokenize", "echo", {"prompt": "a"}),
        ("/detokenize", "echo", {"tokens": [1]}),
    ],
)
def test_what_a_model_cannot_do_is_said_before_its_engine_is_asked(
    http: httpx.Client, path: str, model: str, body: dict[str, object]
) -> None:
    error = refusal(http, path, {"model": model, **body}, 404)
    assert (error["code"], error["param"]) == ("endpoint_not_supported", "model")


def test_an_alias_goes_to_the_model_that_serves_the_endpoint(http: httpx.Client) -> None:
    for _ in range(8):
        assert http.post("/v1/embeddings", json={"model": "either", "input": "a"}).json()["model"] == "vectors"


def test_c7_a_model_says_what_it_serves(http: httpx.Client) -> None:
    described = {model["id"]: model for model in http.get("/v1/models").json()["data"]}
    assert described["vectors"]["endpoints"] == ["/v1/embeddings"]
    assert "/v1/completions" in described["echo"]["endpoints"]
    assert described["echo"]["capabilities"] == ["streaming"]
    assert set(described["either"]["endpoints"]) > {"/v1/embeddings", "/v1/chat/completions"}


def test_speech_is_transcribed_through_the_sdk(sdk: openai.OpenAI) -> None:
    heard = sdk.audio.transcriptions.create(model="ears", file=("../../talk.wav", b"hello there"), language="en")
    assert heard.text == "hello there"


@pytest.mark.parametrize(
    ("data", "files", "status"),
    [
        ({"model": "ears"}, {}, 400),
        ({"model": "ears"}, {"file": b""}, 400),
        ({"model": "ears", "response_format": "srt"}, {"file": b"words"}, 400),
        ({"model": "ears", "temperature": "hot"}, {"file": b"words"}, 400),
        ({"model": "ears", **{f"field{number}": "x" for number in range(40)}}, {"file": b"words"}, 400),
        ({"model": "ears", "prompt": "x" * 70_000}, {"file": b"words"}, 400),
        ({"model": "ears"}, {"file": b"x" * (26 * 2**20)}, 413),
        ({"model": "echo"}, {"file": b"words"}, 404),
    ],
)
def test_uploads_outside_the_bounds_are_refused(
    http: httpx.Client, data: dict[str, str], files: dict[str, bytes], status: int
) -> None:
    parts = {name: ("talk.wav", content) for name, content in files.items()}
    form = {name: (None, value) for name, value in data.items()}
    response = http.post("/v1/audio/transcriptions", files=form | parts)
    assert response.status_code == status, response.text
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_an_upload_without_end_is_cut_off(echo: Raygate) -> None:
    def endless() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        while True:
            yield b"x" * 2**20

    headers = {"content-type": "multipart/form-data; boundary=b"}
    with echo.client() as client, contextlib.suppress(httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        # The connection is closed while we still write, and may take the answer with it.
        client.post("/v1/audio/transcriptions", content=endless(), headers=headers)

    def refused() -> set[tuple[str, int]]:
        return {(each["model"], each["status"]) for each in json.loads(echo.raygate("refusals", "--json").stdout)}

    assert within(10, lambda: ("unknown", 413) in refused())


def test_a_key_may_come_as_anthropics_clients_send_it(echo: Raygate) -> None:
    with httpx.Client(base_url=echo.url) as stranger:
        assert stranger.get("/v1/models", headers={"x-api-key": KEY}).status_code == 200
        both = {"x-api-key": KEY, "authorization": f"Bearer {KEY}x"}
        assert stranger.get("/v1/models", headers=both).status_code == 401
