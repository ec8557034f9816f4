"""Errors: one shape, the right status, and the field that was wrong."""

from typing import Any

from doctor.check import check
from doctor.server import CHAT, Server
from doctor.verdict import NotApplicable, brief, expect, expect_equal

LONG = "a" * 4096
_SHORT = 2000
"""Characters; whatever an error says can be said in so many."""


@check("C2.1", "chat")
async def an_error_has_message_type_param_and_code(server: Server) -> None:
    await server.refused(CHAT, server.chat_body(messages=7))


@check("C2.1", "chat")
async def an_error_is_json_and_carries_a_request_id(server: Server) -> None:
    reply = await server.post(CHAT, server.chat_body(messages=7))
    expect(reply.headers.get("content-type", "").startswith("application/json"), "it is no application/json")
    expect(reply.headers.get("x-request-id"), "there is no x-request-id")


@check("C2.2", "chat")
async def a_wrong_type_names_its_field(server: Server) -> None:
    await _names(server, "temperature", server.chat_body(temperature="hot"))


@check("C2.2", "chat")
async def a_value_out_of_range_names_its_field(server: Server) -> None:
    await _names(server, "temperature", server.chat_body(temperature=100))


@check("C2.2", "chat")
async def a_field_inside_a_message_is_named_by_its_path(server: Server) -> None:
    await _names(server, "messages", server.chat_body(messages=[{"role": "user", "content": 7}]))


@check("C2.2", "chat")
async def missing_messages_are_named(server: Server) -> None:
    await _names(server, "messages", server.chat_body(messages=None))


@check("C2.2", "chat")
async def no_messages_at_all_are_refused(server: Server) -> None:
    await server.refused(CHAT, server.chat_body(messages=[]))


@check("C2.2", "chat")
async def a_role_that_does_not_exist_is_refused(server: Server) -> None:
    await server.refused(CHAT, server.chat_body(messages=[{"role": "oracle", "content": "x"}]))


@check("C2.2", "chat")
async def a_body_that_is_no_json_is_a_400(server: Server) -> None:
    await server.refused(CHAT, {}, content=b'{"model": nope')


@check("C2.2", "chat")
async def a_body_that_is_no_object_is_a_400(server: Server) -> None:
    await server.refused(CHAT, {}, content=b"[1, 2]")


@check("C2.2", "chat")
async def a_body_that_is_no_utf8_is_a_400(server: Server) -> None:
    await server.refused(CHAT, {}, content=b'{"model":"x","messages":[{"role":"user","content":"\xff"}]}')


@check("C2.2", "chat")
async def a_message_of_an_error_is_short_and_repeats_nothing_that_was_sent(server: Server) -> None:
    error = await server.refused(CHAT, server.chat_body(temperature=LONG, user=["secret-word"] * 400))
    expect(len(error["message"]) < _SHORT, f"the message has {len(error['message'])} characters")
    expect("secret-word" not in error["message"] and "aaaaaaaa" not in error["message"], "it repeats the input")


@check("C2.2", "chat")
async def an_error_tells_nothing_of_the_inside(server: Server) -> None:
    error = await server.refused(CHAT, server.chat_body(messages=[{"role": "user", "content": {"deep": [1]}}]))
    inside = [word for word in ("Traceback", "site-packages", ".py", "pydantic") if word in error["message"]]
    expect(not inside, f"it says {', '.join(inside)}")


@check("C2.2", "chat")
async def a_prompt_over_the_context_is_told_in_the_code(server: Server) -> None:
    expect_equal("code", (await _over_the_context(server))["code"], "context_length_exceeded")


@check("C1.12", "chat", extra=True)
async def a_prompt_over_the_context_is_told_in_the_message_for_langchain(server: Server) -> None:
    expect("context_length_exceeded" in (await _over_the_context(server))["message"], "the message lacks the code")


@check("C2.3")
async def without_a_key_the_answer_is_401(server: Server) -> None:
    reply = await server.ask("GET", "/models", key="")
    expect_equal("status", reply.status, 401)
    reply.error()


@check("C2.3")
async def a_wrong_key_is_401_invalid_api_key(server: Server) -> None:
    reply = await server.ask("GET", "/models", key="sk-wrong-0123456789")
    expect_equal("status", reply.status, 401)
    expect_equal("code", reply.error()["code"], "invalid_api_key")


@check("C2.3", extra=True)
async def a_401_says_how_to_authenticate(server: Server) -> None:
    reply = await server.ask("GET", "/models", key="")
    expect_equal("www-authenticate", reply.headers.get("www-authenticate"), "Bearer")


@check("C2.5", "chat")
async def an_unknown_model_is_404_model_not_found(server: Server) -> None:
    error = await server.refused(CHAT, server.chat_body(model="no-such-model"), 404)
    expect_equal("code", error["code"], "model_not_found")


@check("C2.5", "chat", extra=True)
async def an_unknown_model_is_told_as_the_field_that_names_it(server: Server) -> None:
    error = await server.refused(CHAT, server.chat_body(model="no-such-model"), 404)
    expect_equal("param", error["param"], "model")


@check("C2.5")
async def an_unknown_route_is_a_404_in_json(server: Server) -> None:
    reply = await server.ask("GET", "/no/such/route")
    expect_equal("status", reply.status, 404)
    reply.error()


@check("C1.2")
async def a_path_that_no_router_likes_gets_an_error_in_json(server: Server) -> None:
    for path in ("/%ff%fe", "/..%2f..%2fetc", "/chat/completions/", "/models?" + "q" * 6000):
        reply = await server.ask("POST", path, {})
        expect(400 <= reply.status < 500, f"status {reply.status} for {brief(path)}")
        reply.error()


@check("C2.6", "chat")
async def another_method_is_405_and_told_which_are_allowed(server: Server) -> None:
    reply = await server.ask("DELETE", CHAT)
    expect_equal("status", reply.status, 405)
    reply.error()
    expect("POST" in reply.headers.get("allow", ""), "Allow does not name POST")


@check("C2.6", "chat", extra=True)
async def another_content_type_is_415(server: Server) -> None:
    reply = await server.ask("POST", CHAT, content=b"{}", headers={"content-type": "text/plain"})
    expect_equal("status", reply.status, 415)
    reply.error()


@check("C2.6", "chat")
async def no_body_however_wrong_is_a_422(server: Server) -> None:
    bodies: list[dict[str, Any]] = [{}, server.chat_body(messages="text"), server.chat_body(n="two", stop=7)]
    for body in bodies:
        await server.refused(CHAT, body)


async def _over_the_context(server: Server) -> dict[str, Any]:
    """Return the error of a prompt that is too long."""
    reply = await server.post(CHAT, server.chat_body(messages=[{"role": "user", "content": "word " * 40_000}]))
    if reply.status == 200:
        raise NotApplicable("it takes 40,000 words")
    expect_equal("status", reply.status, 400)
    return reply.error()


async def _names(server: Server, param: str, body: dict[str, Any]) -> None:
    """Expect that a body is refused for a field, or for what is inside it."""
    told = (await server.refused(CHAT, body))["param"] or ""
    expect(told.split(".")[0].split("[")[0] == param, f"param is {told!r}, not {param!r}")
