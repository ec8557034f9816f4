"""What becomes of a response when something breaks: its gateway, its engine, or its client's patience (C2, C8)."""

from typing import Any

import httpx
import openai
import orjson
import pytest

from tests.e2e.ledger.conftest import TOKENS_PER_S
from tests.e2e.running import KEY, Raygate
from tests.e2e.waiting import within

FOR_EVER: dict[str, Any] = {"model": "echo", "input": "word", "max_output_tokens": 100 * TOKENS_PER_S}


@pytest.fixture
def sdk(ledgered: Raygate) -> openai.OpenAI:
    return openai.OpenAI(base_url=ledgered.openai_url, api_key=KEY, max_retries=5)


def events_of(ledgered: Raygate, **fields: Any) -> list[dict[str, Any]]:
    with ledgered.client() as client:
        text = client.post("/v1/responses", json={**FOR_EVER, **fields, "stream": True}).text
    frames = [frame.partition("\ndata: ")[2] for frame in text.split("\n\n")[:-1] if frame.startswith("event: ")]
    return [orjson.loads(frame) for frame in frames]


def test_c2_a_stream_that_takes_too_long_ends_with_a_flat_error_and_is_kept_as_failed(
    ledgered: Raygate, sdk: openai.OpenAI
) -> None:
    events = events_of(ledgered)

    assert set(events[-1]) == {"type", "sequence_number", "code", "message", "param"}
    assert (events[-1]["type"], events[-1]["code"]) == ("error", "timeout")
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kept = sdk.responses.retrieve(events[0]["response"]["id"])
    assert kept.status == "failed"


def test_c8_a_stream_whose_engine_dies_ends_as_failed_and_is_kept_so(ledgered: Raygate, sdk: openai.OpenAI) -> None:
    events: list[dict[str, Any]] = []
    with (
        ledgered.client() as client,
        client.stream("POST", "/v1/responses", json={**FOR_EVER, "stream": True}) as reply,
    ):
        for line in reply.iter_lines():
            if line.startswith("data: "):
                events.append(orjson.loads(line.removeprefix("data: ")))
            if len(events) == 10:
                for engine in ledgered.processes("ServeReplica:model-echo:engine"):
                    engine.kill()

    assert events[-1]["type"] == "response.failed"
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kept = sdk.responses.retrieve(events[0]["response"]["id"])
    assert kept.status == "failed"
    assert kept.error is not None and kept.error.code == "server_error"
    assert within(60, lambda: httpx.get(f"{ledgered.url}/readyz").status_code == 200)


def test_a_response_in_the_background_of_a_gateway_that_dies_has_failed(ledgered: Raygate, sdk: openai.OpenAI) -> None:
    run = sdk.responses.create(**{**FOR_EVER, "max_output_tokens": 10 * TOKENS_PER_S}, background=True)
    gateways = ledgered.processes("ServeReplica:gateway")
    assert len(gateways) == 2

    for gateway in gateways:
        gateway.kill()

    def has_failed() -> bool:
        try:
            return sdk.responses.retrieve(run.id).status == "failed"
        except openai.APIError:  # no gateway is there yet
            return False

    assert within(60, has_failed)
