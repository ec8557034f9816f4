"""Chat answers that come whole."""

import re

from doctor.check import check
from doctor.server import CHAT, QUESTION, Server
from doctor.verdict import NotApplicable, expect, expect_equal

REASONS = {"stop", "length", "tool_calls", "content_filter"}


@check("C5.1", "chat")
async def an_answer_has_a_message_of_the_assistant(server: Server) -> None:
    answer = await server.chat()
    expect_equal("object", answer["object"], "chat.completion")
    expect(str(answer["id"]).startswith("chatcmpl-"), "its id does not begin with chatcmpl-")
    (choice,) = answer["choices"]
    expect_equal("index", choice["index"], 0)
    expect_equal("role", choice["message"]["role"], "assistant")
    expect(isinstance(choice["message"]["content"], str), "content is no text")


@check("C5.1", "chat")
async def a_message_has_a_refusal_and_annotations(server: Server) -> None:
    message = (await server.chat())["choices"][0]["message"]
    expect("refusal" in message, "refusal is missing")
    expect(isinstance(message.get("annotations", []), list), "annotations are no list")


@check("C5.3", "chat")
async def an_answer_tells_usage_tier_and_fingerprint(server: Server) -> None:
    answer = await server.chat()
    missing = {"usage", "service_tier", "system_fingerprint"} - answer.keys()
    expect(not missing, f"{', '.join(sorted(missing))} missing")
    expect(answer["choices"][0]["finish_reason"] in REASONS, "finish_reason is none of the API's")


@check("C4.5", "chat")
async def usage_adds_up(server: Server) -> None:
    usage = (await server.chat())["usage"]
    expect(usage["prompt_tokens"] > 0, "prompt_tokens is 0")
    expect_equal("total_tokens", usage["total_tokens"], usage["prompt_tokens"] + usage["completion_tokens"])


@check("C4.5", "chat")
async def usage_has_its_details(server: Server) -> None:
    usage = (await server.chat())["usage"]
    expect("cached_tokens" in (usage.get("prompt_tokens_details") or {}), "cached_tokens is missing")
    expect("reasoning_tokens" in (usage.get("completion_tokens_details") or {}), "reasoning_tokens is missing")


@check("C4.5", "chat")
async def usage_counts_the_prompt_once_and_every_choice(server: Server) -> None:
    one, two = await server.chat(max_tokens=3), await server.chat(max_tokens=3, n=2, temperature=1)
    expect_equal("prompt_tokens of n=2", two["usage"]["prompt_tokens"], one["usage"]["prompt_tokens"])
    expect(two["usage"]["completion_tokens"] > one["usage"]["completion_tokens"], "completion_tokens count one choice")


@check("C4.7", "chat")
async def an_answer_cut_by_max_tokens_ends_with_length(server: Server) -> None:
    answer = await server.chat(max_tokens=2)
    expect_equal("finish_reason", answer["choices"][0]["finish_reason"], "length")
    expect_equal("completion_tokens", answer["usage"]["completion_tokens"], 2)


@check("C5.9", "chat")
async def max_completion_tokens_overrides_max_tokens(server: Server) -> None:
    answer = await server.chat(max_tokens=9, max_completion_tokens=2)
    expect_equal("completion_tokens", answer["usage"]["completion_tokens"], 2)


@check("C5.5", "chat")
async def a_stop_text_ends_the_answer_and_is_left_out(server: Server) -> None:
    whole = str((await server.chat())["choices"][0]["message"]["content"])
    stop = inner_word(whole)
    for given in (stop, ["§§", stop]):
        choice = (await server.chat(stop=given))["choices"][0]
        expect_equal("content", choice["message"]["content"], whole.split(stop, maxsplit=1)[0])
        expect_equal("finish_reason", choice["finish_reason"], "stop")


@check("C5.5", "chat")
async def five_stop_texts_are_refused(server: Server) -> None:
    await server.refused(CHAT, server.chat_body(stop=["1", "2", "3", "4", "5"]))


@check("C5.7", "chat")
async def the_same_seed_gives_the_same_answer(server: Server) -> None:
    one, two = [await server.chat(seed=7, temperature=1, max_tokens=6) for _ in range(2)]
    expect_equal("the second content", *(a["choices"][0]["message"]["content"] for a in (two, one)))


@check("C5.8", "chat")
async def choices_come_in_the_order_of_their_index(server: Server) -> None:
    answer = await server.chat(n=3, temperature=1, max_tokens=3)
    expect_equal("the indices", [choice["index"] for choice in answer["choices"]], [0, 1, 2])


@check("C5.10", "chat")
async def the_developer_speaks_as_the_system_does(server: Server) -> None:
    async def told_as(role: str) -> int:
        messages = [{"role": role, "content": "Answer in one word."}, {"role": "user", "content": QUESTION}]
        return int((await server.chat(messages=messages, max_tokens=1))["usage"]["prompt_tokens"])

    expect_equal("prompt_tokens of developer", await told_as("developer"), await told_as("system"))


@check("C5.1", "chat")
async def content_may_come_in_parts(server: Server) -> None:
    parts = [{"type": "text", "text": QUESTION}]
    answer = await server.chat(messages=[{"role": "user", "content": parts}])
    plain = await server.chat()
    expect_equal("prompt_tokens of parts", answer["usage"]["prompt_tokens"], plain["usage"]["prompt_tokens"])


@check("C5.11", "chat")
async def without_a_model_the_default_answers_or_the_field_is_named(server: Server) -> None:
    reply = await server.post(CHAT, server.chat_body(model=None, max_tokens=1))
    if reply.status != 200:
        expect_equal("status", reply.status, 400)
        expect_equal("param", reply.error()["param"], "model")


@check("C5.1", "chat")
async def fields_that_say_nothing_may_be_null(server: Server) -> None:
    names = ("temperature", "top_p", "n", "stop", "seed", "logprobs", "tools", "response_format", "user", "stream")
    reply = await server.post(CHAT, {**server.chat_body(max_tokens=1), **dict.fromkeys(names)})
    expect_equal("status", reply.status, 200)


def inner_word(text: str) -> str:
    """Return a word of a text that stands neither at its beginning nor at its end."""
    words = re.findall(r"(?<=\s)\w{2,}(?=\s)", text)
    if not words:
        raise NotApplicable(f"the answer {text[:60]!r} has no word to stop at")
    return str(words[0])
