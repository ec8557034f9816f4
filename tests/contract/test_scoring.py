"""Scores and ranks by a real model, on its own engine and through another server."""

import httpx
import pytest

from tests.e2e.running import Raygate

QUERY = "Which animal purrs?"
DOCUMENTS = ["Paris is the capital of France.", "A cat purrs when it is content.", "Bread is baked from flour."]
CAT = 1


@pytest.fixture(params=["vllm-embed", "upstream-score"])
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ask(running: Raygate, path: str, **body: object) -> httpx.Response:
    with running.client() as client:
        return client.post(path, json=body)


def test_documents_are_ranked_by_how_well_they_answer(running: Raygate, model: str) -> None:
    ranked = ask(running, "/v1/rerank", model=model, query=QUERY, documents=DOCUMENTS, top_n=2)
    assert ranked.status_code == 200, ranked.text
    results = ranked.json()["results"]
    assert [results[0]["index"], len(results)] == [CAT, 2]
    assert results[0]["relevance_score"] > results[1]["relevance_score"]
    assert ranked.json()["model"] == model  # our name of it, whatever the server that answers calls it


def test_pairs_are_scored_in_their_order(running: Raygate, model: str) -> None:
    scored = ask(running, "/v1/score", model=model, text_1=QUERY, text_2=DOCUMENTS)
    assert scored.status_code == 200, scored.text
    data = scored.json()["data"]
    assert [one["index"] for one in data] == [0, 1, 2]
    assert max(data, key=lambda one: one["score"])["index"] == CAT


def test_a_score_is_accounted_by_its_prompt(running: Raygate) -> None:
    scored = ask(running, "/v1/score", model="vllm-embed", text_1=QUERY, text_2=DOCUMENTS)
    usage = scored.json()["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] > 0
    assert running.ledger_row(scored.headers["x-request-id"])["prompt_tokens"] == usage["prompt_tokens"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/rerank", {"query": QUERY, "documents": []}),
        ("/v1/rerank", {"query": QUERY, "documents": DOCUMENTS, "top_n": -1}),
        ("/v1/score", {"text_1": QUERY}),
        ("/v1/score", {"text_1": [QUERY], "text_2": [1]}),
    ],
)
def test_what_cannot_be_scored_is_refused(running: Raygate, model: str, path: str, body: dict[str, object]) -> None:
    refused = ask(running, path, model=model, **body)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] in body.keys() | {"text_2"}


def test_a_model_that_chats_does_not_score(running: Raygate) -> None:
    refused = ask(running, "/v1/score", model="vllm", text_1=QUERY, text_2=DOCUMENTS)
    assert refused.status_code == 404
