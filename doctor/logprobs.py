"""Log probabilities of a chat's tokens."""

from typing import Any

from doctor.check import check
from doctor.server import CHAT, Server
from doctor.verdict import expect, expect_equal


@check("C5.2", "chat")
async def logprobs_are_null_for_who_does_not_ask(server: Server) -> None:
    choice = (await server.chat())["choices"][0]
    expect("logprobs" in choice, "logprobs is missing")
    expect_equal("logprobs", choice["logprobs"], None)


@check("C5.2", "logprobs")
async def each_token_has_its_logprob_bytes_and_alternatives(server: Server) -> None:
    answer = await server.chat(logprobs=True, top_logprobs=2, max_tokens=4)
    told = answer["choices"][0]["logprobs"]
    _expect_tokens(told["content"], alternatives=2)
    expect_equal("the number of tokens", len(told["content"]), answer["usage"]["completion_tokens"])


@check("C5.2", "logprobs", extra=True)
async def logprobs_have_a_refusal(server: Server) -> None:
    told = (await server.chat(logprobs=True, max_tokens=2))["choices"][0]["logprobs"]
    expect("refusal" in told, "refusal is missing")


@check("C5.2", "logprobs")
async def the_bytes_of_the_tokens_make_the_content(server: Server) -> None:
    choice = (await server.chat(logprobs=True, max_tokens=4))["choices"][0]
    said = b"".join(bytes(token["bytes"] or []) for token in choice["logprobs"]["content"])
    expect_equal("the text of the bytes", said.decode(errors="replace"), choice["message"]["content"])


@check("C5.2", "logprobs", "streaming")
async def a_stream_has_the_logprobs_of_the_whole_answer(server: Server) -> None:
    stream = await server.chat_stream(logprobs=True, top_logprobs=1, max_tokens=4)
    streamed = [token for choice in stream.choices() for token in (choice.get("logprobs") or {}).get("content") or []]
    _expect_tokens(streamed, alternatives=1)
    whole = await server.chat(logprobs=True, top_logprobs=1, max_tokens=4)
    tokens = [token["token"] for token in whole["choices"][0]["logprobs"]["content"]]
    expect_equal("the streamed tokens", [token["token"] for token in streamed], tokens)


@check("C5.6", "logprobs")
async def top_logprobs_without_logprobs_are_refused(server: Server) -> None:
    await server.refused(CHAT, server.chat_body(top_logprobs=2))


@check("C5.6", "logprobs")
async def more_than_twenty_alternatives_are_refused(server: Server) -> None:
    await server.refused(CHAT, server.chat_body(logprobs=True, top_logprobs=21))


@check("C5.6", "logprobs")
async def no_alternatives_may_be_asked_for(server: Server) -> None:
    told = (await server.chat(logprobs=True, top_logprobs=0, max_tokens=2))["choices"][0]["logprobs"]
    expect(all(token["top_logprobs"] == [] for token in told["content"]), "there are alternatives")


def _expect_tokens(tokens: list[dict[str, Any]], *, alternatives: int) -> None:
    expect(tokens, "there are no tokens")
    for token in tokens:
        missing = {"token", "logprob", "bytes", "top_logprobs"} - token.keys()
        expect(not missing, f"a token lacks {', '.join(sorted(missing))}")
        expect(token["logprob"] <= 0, f"a logprob is {token['logprob']}")
        expect_equal("the number of alternatives", len(token["top_logprobs"]), alternatives)
