"""``/v1/responses`` on the whole path: remembered, continued, owned by a project, run in the background (C8)."""

from typing import Any

import httpx
import openai
import pytest
from openai.types.responses import Response

from tests.e2e.running import KEY, Raygate
from tests.e2e.waiting import within

ENDED = {"completed", "incomplete", "failed", "cancelled"}


@pytest.fixture
def sdk(echo: Raygate) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{echo.url}/v1", api_key=KEY, max_retries=0)


@pytest.fixture(scope="module")
def stranger(echo: Raygate) -> openai.OpenAI:
    """The SDK with the key of another project."""
    echo.raygate("projects", "create", "strangers")
    made = echo.raygate("keys", "create", "stranger", "--project", "strangers")
    assert made.returncode == 0, made.stderr
    echo.await_key(made.stdout.strip())
    return openai.OpenAI(base_url=f"{echo.url}/v1", api_key=made.stdout.strip(), max_retries=0)


def respond(sdk: openai.OpenAI, words: Any = "one two", **fields: Any) -> Response:
    return sdk.responses.create(**{"model": "echo", "input": words, "max_output_tokens": 3, **fields})


def refusal(http: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    reply = http.post("/v1/responses", json={"model": "echo", "input": "x", **body})
    assert reply.status_code == 400, reply.text
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
    return dict(reply.json()["error"])


def settled(sdk: openai.OpenAI, response_id: str) -> Response:
    """Return a response once it has ended."""
    assert within(10, lambda: sdk.responses.retrieve(response_id).status in ENDED)
    return sdk.responses.retrieve(response_id)


def test_c8_a_response_is_kept_by_default_as_it_was_answered(sdk: openai.OpenAI) -> None:
    made = respond(sdk, metadata={"a": "b"})

    assert (made.output_text, made.status, made.metadata) == ("one two one", "incomplete", {"a": "b"})
    assert made.usage is not None and (made.usage.input_tokens, made.usage.output_tokens) == (2, 3)
    assert sdk.responses.retrieve(made.id) == made


def test_c8_a_stream_goes_through_the_lifecycle_and_its_end_is_kept(sdk: openai.OpenAI) -> None:
    events = list(respond(sdk, stream=True))

    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 3,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].response.id == events[-1].response.id
    assert sdk.responses.retrieve(events[-1].response.id) == events[-1].response


def test_c8_a_response_that_is_not_to_be_stored_is_not_found(sdk: openai.OpenAI) -> None:
    made = respond(sdk, store=False)

    assert made.store is False
    with pytest.raises(openai.NotFoundError):
        sdk.responses.retrieve(made.id)


def test_a_deleted_response_is_gone(sdk: openai.OpenAI) -> None:
    made = respond(sdk)

    sdk.responses.delete(made.id)

    with pytest.raises(openai.NotFoundError):
        sdk.responses.retrieve(made.id)


@pytest.mark.parametrize("stream", [False, True])
def test_any_gateway_continues_a_conversation_as_soon_as_it_has_its_end(echo: Raygate, stream: bool) -> None:
    previous, tokens = None, []
    for _ in range(6):  # each on a connection of its own, which HAProxy gives to one gateway or the other
        with openai.OpenAI(base_url=f"{echo.url}/v1", api_key=KEY, max_retries=0) as sdk:
            made: Any = respond(sdk, previous_response_id=previous, stream=stream)
            made = list(made)[-1].response if stream else made
        assert made.previous_response_id == previous
        previous = made.id
        tokens.append(made.usage.input_tokens)

    assert tokens == [2, 7, 12, 17, 22, 27]


def test_instructions_are_not_carried_over(sdk: openai.OpenAI) -> None:
    first = respond(sdk, instructions="be very brief")
    second = respond(sdk, previous_response_id=first.id)

    assert first.usage is not None and first.usage.input_tokens == 2 + 3
    assert second.usage is not None and second.usage.input_tokens == 2 + 3 + 2


def test_a_response_belongs_to_its_project(sdk: openai.OpenAI, stranger: openai.OpenAI) -> None:
    made = respond(sdk)

    for attempt in (stranger.responses.retrieve, stranger.responses.delete, stranger.responses.cancel):
        with pytest.raises(openai.NotFoundError):
            attempt(made.id)
    with pytest.raises(openai.BadRequestError) as refused:
        respond(stranger, previous_response_id=made.id)
    assert (refused.value.code, refused.value.param) == ("previous_response_not_found", "previous_response_id")
    assert sdk.responses.retrieve(made.id) == made


def test_a_conversation_through_a_deleted_response_cannot_be_continued(sdk: openai.OpenAI) -> None:
    first = respond(sdk)
    second = respond(sdk, previous_response_id=first.id)
    sdk.responses.delete(first.id)

    with pytest.raises(openai.BadRequestError, match="previous response was not found"):
        respond(sdk, previous_response_id=second.id)


def test_input_items_are_listed_in_pages(sdk: openai.OpenAI) -> None:
    items = [{"role": "user", "content": word} for word in ("one", "two", "three")]
    made = respond(sdk, items)

    page = sdk.responses.input_items.list(made.id, limit=2, order="asc")
    assert [item.content[0].text for item in page.data] == ["one", "two"]  # type: ignore[union-attr]
    assert page.has_more
    rest = sdk.responses.input_items.list(made.id, after=page.last_id, order="asc")
    assert [item.content[0].text for item in rest.data] == ["three"]  # type: ignore[union-attr]
    newest_first = sdk.responses.input_items.list(made.id)
    assert [item.id for item in newest_first] == [item.id for item in [*rest.data, *reversed(page.data)]]


def test_a_response_in_the_background_is_queued_at_once_and_ends(echo: Raygate, sdk: openai.OpenAI) -> None:
    raw = sdk.responses.with_raw_response.create(
        model="slow", input="one two", background=True, max_output_tokens=5, extra_headers={"x-request-id": "bg-1"}
    )
    queued = raw.parse()
    assert (queued.status, queued.background, queued.output) == ("queued", True, [])

    ended = settled(sdk, queued.id)
    assert (ended.status, ended.output_text, ended.background) == ("incomplete", "one two one two one", True)
    row = echo.ledger_row("bg-1")
    assert (row["status"], row["prompt_tokens"], row["completion_tokens"]) == (200, 2, 5)


def test_a_response_in_the_background_can_be_continued_once_it_has_ended(sdk: openai.OpenAI) -> None:
    queued = respond(sdk, model="slow", background=True, max_output_tokens=30)
    with pytest.raises(openai.BadRequestError) as refused:
        respond(sdk, previous_response_id=queued.id)
    assert refused.value.param == "previous_response_id"

    settled(sdk, queued.id)
    assert respond(sdk, previous_response_id=queued.id).usage.input_tokens == 2 + 30 + 2  # type: ignore[union-attr]


def test_any_gateway_cancels_a_response_in_the_background(echo: Raygate, sdk: openai.OpenAI) -> None:
    runs = [
        sdk.responses.create(
            model="slow",
            input="one",
            background=True,
            max_output_tokens=5000,
            extra_headers={"x-request-id": f"cancelled-{place}"},
        )
        for place in range(4)
    ]
    assert within(5, lambda: all(sdk.responses.retrieve(run.id).status == "in_progress" for run in runs))

    for run in runs:
        with openai.OpenAI(base_url=f"{echo.url}/v1", api_key=KEY) as another:
            assert another.responses.cancel(run.id).status == "cancelled"

    # The engine is let go, long before all is generated.
    for place, run in enumerate(runs):
        assert echo.ledger_row(f"cancelled-{place}")["completion_tokens"] < 1000
        assert sdk.responses.cancel(run.id).status == "cancelled"


def test_only_a_response_in_the_background_can_be_cancelled(sdk: openai.OpenAI) -> None:
    made = respond(sdk)

    with pytest.raises(openai.BadRequestError, match="background"):
        sdk.responses.cancel(made.id)


def test_a_response_in_the_background_holds_to_limits(echo: Raygate) -> None:
    made = echo.raygate("keys", "create", "poor-responder", "--limit", "tokens/minute=10")
    sdk = openai.OpenAI(base_url=f"{echo.url}/v1", api_key=made.stdout.strip(), max_retries=0)

    queued = respond(sdk, background=True, max_output_tokens=100)

    ended = settled(sdk, queued.id)
    assert ended.status == "failed"
    assert ended.error is not None and ended.error.code == "rate_limit_exceeded"


def test_a_client_that_leaves_its_stream_finds_the_response_cancelled(sdk: openai.OpenAI) -> None:
    stream: Any = respond(sdk, model="slow", max_output_tokens=5000, stream=True)
    response_id = next(iter(stream)).response.id
    stream.close()

    def is_cancelled() -> bool:
        try:
            return sdk.responses.retrieve(response_id).status == "cancelled"
        except openai.NotFoundError:
            return False

    assert within(10, is_cancelled)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"background": True, "store": False}, "background"),
        ({"background": True, "stream": True}, "stream"),
        ({"previous_response_id": "resp_\u0000"}, "previous_response_id"),
        ({"previous_response_id": "resp_00"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"input": []}, "input"),
        ({"input": [{"type": "web_search_call"}]}, "input.0.type"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"temperature": 9}, "temperature"),
        ({"input": "x" * (5 * 2**20)}, "input"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(http: httpx.Client, body: dict[str, Any], param: str) -> None:
    assert refusal(http, body)["param"] == param


def test_a_model_that_generates_nothing_has_no_responses(http: httpx.Client) -> None:
    for background in (False, True):
        reply = http.post("/v1/responses", json={"model": "vectors", "input": "x", "background": background})
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "endpoint_not_supported")


def test_unknown_responses_are_not_found(http: httpx.Client) -> None:
    assert http.get("/v1/responses/resp_00").status_code == 404
    assert http.delete("/v1/responses/resp_00").status_code == 404
    assert http.get("/v1/responses/resp_00/input_items").status_code == 404
    assert http.post("/v1/responses/resp_00/cancel").status_code == 404
    assert http.get("/v1/responses/resp_00", params={"stream": True}).status_code == 400
