"""The Responses API: lifecycle, order and storage."""

from typing import Any

from doctor.check import check
from doctor.server import RESPONSES, Server
from doctor.verdict import Failed, expect, expect_equal

LIFECYCLE = (
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
)
ENDS = {"response.completed", "response.incomplete", "response.failed"}


@check("C8.3", "responses")
async def a_response_has_its_output_and_usage(server: Server) -> None:
    response = await server.respond()
    expect_equal("object", response["object"], "response")
    expect(str(response["id"]).startswith("resp_"), "its id does not begin with resp_")
    expect(response["status"] in {"completed", "incomplete"}, f"status is {response['status']}")
    _expect_usage(response)
    (message,) = [item for item in response["output"] if item["type"] == "message"]
    expect_equal("type of the content", message["content"][0]["type"], "output_text")


@check("C8.1", "responses", "streaming")
async def events_come_in_the_order_of_the_lifecycle(server: Server) -> None:
    stream = await server.respond_stream()
    order = [chunk["type"] for chunk in stream.chunks]
    expected = [*LIFECYCLE[:-1], order[-1]]
    expect(order[-1] in ENDS, f"the last event is {order[-1]}")
    expect_equal("the order", list(dict.fromkeys(order)), expected)
    expect_equal("the events' types", list(stream.types), order)


@check("C8.2", "responses", "streaming")
async def sequence_numbers_rise(server: Server) -> None:
    numbers = [chunk["sequence_number"] for chunk in (await server.respond_stream()).chunks]
    expect_equal("the numbers", numbers, list(range(numbers[0], numbers[0] + len(numbers))))


@check("C8.3", "responses", "streaming")
async def the_last_event_has_the_whole_response(server: Server) -> None:
    stream = await server.respond_stream()
    response = stream.chunks[-1]["response"]
    _expect_usage(response)
    said = "".join(chunk["delta"] for chunk in stream.chunks if chunk["type"] == "response.output_text.delta")
    expect_equal("the text of the deltas", said, _text(response))


@check("C8.4", "stored_responses")
async def a_stored_response_is_retrieved_and_deleted(server: Server) -> None:
    response = await server.respond(store=True)
    path = f"{RESPONSES}/{response['id']}"
    found = await server.ask("GET", path)
    expect_equal("status", found.status, 200)
    expect_equal("the text", _text(found.json()), _text(response))
    deleted = (await server.ask("DELETE", path)).json()
    expect_equal("deleted", deleted.get("deleted"), True)
    expect_equal("status after it was deleted", (await server.ask("GET", path)).status, 404)


@check("C8.4", "responses")
async def a_response_that_is_not_stored_is_not_found(server: Server) -> None:
    response = await server.respond(store=False)
    reply = await server.ask("GET", f"{RESPONSES}/{response['id']}")
    expect_equal("status", reply.status, 404)
    reply.error()


@check("C8.4", "stored_responses")
async def a_conversation_goes_on_from_a_stored_response(server: Server) -> None:
    first = await server.respond(store=True)
    second = await server.respond(store=False, previous_response_id=first["id"])
    expect_equal("previous_response_id", second["previous_response_id"], first["id"])
    more = second["usage"]["input_tokens"] > first["usage"]["input_tokens"]
    expect(more, "the second has no more input than the first")


@check("C8.4", "stored_responses")
async def the_input_of_a_stored_response_is_listed(server: Server) -> None:
    response = await server.respond(store=True)
    listed = (await server.ask("GET", f"{RESPONSES}/{response['id']}/input_items")).json()
    expect_equal("object", listed.get("object"), "list")
    expect_equal("role of the first item", listed["data"][0]["role"], "user")


@check("C8.5", "responses")
async def background_without_store_is_refused(server: Server) -> None:
    await server.refused(RESPONSES, server.response_body(background=True))


@check("C2.5", "responses")
async def a_response_to_continue_that_is_not_there_is_refused(server: Server) -> None:
    reply = await server.post(RESPONSES, server.response_body(previous_response_id="resp_00000000"))
    expect(reply.status in {400, 404}, f"status {reply.status}")
    reply.error()


def _expect_usage(response: dict[str, Any]) -> None:
    usage = response.get("usage")
    if not usage:
        raise Failed("there is no usage")
    missing = {"input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details"} - usage.keys()
    expect(not missing, f"usage lacks {', '.join(sorted(missing))}")
    expect_equal("total_tokens", usage["total_tokens"], usage["input_tokens"] + usage["output_tokens"])


def _text(response: dict[str, Any]) -> str:
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    return "".join(part["text"] for part in parts if part["type"] == "output_text")
