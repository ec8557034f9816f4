"""Completions of a text."""

from doctor.check import check
from doctor.form import mistakes
from doctor.server import COMPLETIONS, Server
from doctor.verdict import expect, expect_equal

TOKENS = [1, 2, 3]
"""Ids that every vocabulary has."""


@check("C6.1", "completions")
async def a_completion_has_its_own_id_and_object(server: Server) -> None:
    answer = await server.complete()
    expect(str(answer["id"]).startswith("cmpl-"), "its id does not begin with cmpl-")
    expect_equal("object", answer["object"], "text_completion")
    expect(answer["choices"][0]["text"], "there is no text")


@check("C6.1", "completions")
async def without_max_tokens_there_are_sixteen(server: Server) -> None:
    answer = await server.complete(max_tokens=None, prompt="One two three four five six")
    expect(answer["usage"]["completion_tokens"] <= 16, f"there are {answer['usage']['completion_tokens']}")


@check("C6.1", "completions")
async def streamed_and_whole_completions_are_the_same(server: Server) -> None:
    stream, whole = await server.complete_stream(), (await server.complete())["choices"][0]
    expect_equal("the streamed text", stream.text(), whole["text"])
    expect_equal("the streamed finish_reason", stream.finish_reasons(), [whole["finish_reason"]])
    expect(stream.done, "the last event is not [DONE]")


@check("C6.1", "completions")
async def all_chunks_of_a_completion_share_their_head(server: Server) -> None:
    stream = await server.complete_stream(stream_options={"include_usage": True})
    heads = {(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in stream.chunks}
    expect_equal("the number of heads", len(heads), 1)
    expect_equal("object", stream.chunks[0]["object"], "text_completion")
    expect_equal("the number of usages", len(stream.usages()), 1)


@check("C6.1", "completions", extra=True)
async def a_completion_is_in_the_form_of_raygates_engines(server: Server) -> None:
    stream = await server.complete_stream(prompt=["One", "Two"], stream_options={"include_usage": True})
    found = mistakes(stream.reply.body, is_chat=False, has_usage=True, comments=True)
    expect_equal("what is not", found, [])


@check("C6.2", "completions")
async def choices_are_numbered_prompt_by_prompt(server: Server) -> None:
    answer = await server.complete(prompt=["One", "Two"], n=2, temperature=1, max_tokens=2)
    expect_equal("the indices", [choice["index"] for choice in answer["choices"]], [0, 1, 2, 3])


@check("C6.2", "completions")
async def each_text_gets_the_completion_that_it_gets_alone(server: Server) -> None:
    prompts = ["The capital of France is", "One two three four"]
    together = await server.complete(prompt=prompts, max_tokens=3)
    for prompt, choice in zip(prompts, together["choices"], strict=True):
        alone = await server.complete(prompt=prompt, max_tokens=3)
        expect_equal(f"the completion of {prompt!r}", choice["text"], alone["choices"][0]["text"])


@check("C6.2", "prompt_tokens")
async def a_prompt_may_be_tokens_or_lists_of_tokens(server: Server) -> None:
    one, two = await server.complete(prompt=TOKENS, max_tokens=2), await server.complete(prompt=[TOKENS] * 2)
    expect_equal("prompt_tokens", one["usage"]["prompt_tokens"], len(TOKENS))
    expect_equal("the number of choices", len(two["choices"]), 2)


@check("C6.3", "prompt_echo")
async def echo_puts_the_prompt_first(server: Server) -> None:
    plain, echoed = await server.complete(), await server.complete(echo=True)
    prompt = server.completion_body()["prompt"]
    expect_equal("the text", echoed["choices"][0]["text"], prompt + plain["choices"][0]["text"])


@check("C6.3", "prompt_echo")
async def echo_without_new_tokens_is_the_prompt(server: Server) -> None:
    answer = await server.complete(echo=True, max_tokens=0)
    expect_equal("the text", answer["choices"][0]["text"], server.completion_body()["prompt"])


@check("C6.3", "prompt_echo", "streaming")
async def a_streamed_echo_begins_with_the_prompt(server: Server) -> None:
    stream, whole = await server.complete_stream(echo=True), await server.complete(echo=True)
    expect_equal("the streamed text", stream.text(), whole["choices"][0]["text"])


@check("C6.4", "prompt_logprobs")
async def logprobs_of_an_echo_begin_with_a_token_that_has_none(server: Server) -> None:
    answer = await server.complete(echo=True, logprobs=1, max_tokens=1)
    told = answer["choices"][0]["logprobs"]
    expect_equal("the first logprob", told["token_logprobs"][0], None)
    expect(all(value <= 0 for value in told["token_logprobs"][1:]), "a logprob is above 0")


@check("C6.4", "completion_logprobs")
async def logprobs_tell_tokens_their_places_and_alternatives(server: Server) -> None:
    answer = await server.complete(logprobs=2, max_tokens=3)
    told, text = answer["choices"][0]["logprobs"], answer["choices"][0]["text"]
    lengths = {len(told[name]) for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset")}
    expect_equal("the number of tokens", lengths, {answer["usage"]["completion_tokens"]})
    expect_equal("the text of the tokens", "".join(told["tokens"]), text)
    begin = told["text_offset"][0]
    for token, offset in zip(told["tokens"], told["text_offset"], strict=True):
        expect_equal("the text at an offset", text[offset - begin : offset - begin + len(token)], token)
    expect(all(2 <= len(found) <= 3 for found in told["top_logprobs"]), "a token has not its two alternatives")


@check("C6.5", "completions")
async def a_suffix_is_honoured_or_named_in_a_400(server: Server) -> None:
    reply = await server.post(COMPLETIONS, server.completion_body(suffix=" and that is all."))
    if reply.status != 200:
        expect_equal("status", reply.status, 400)
        expect_equal("param", reply.error()["param"], "suffix")


@check("C2.2", "completions")
async def a_completion_without_a_prompt_is_refused(server: Server) -> None:
    error = await server.refused(COMPLETIONS, server.completion_body(prompt=None))
    expect_equal("param", error["param"], "prompt")
