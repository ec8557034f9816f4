"""Chat answers that come as a stream of events."""

from doctor.chat import inner_word
from doctor.check import check
from doctor.form import mistakes
from doctor.server import CHAT, Server
from doctor.verdict import expect, expect_equal

LETTERS = "Say: Grüße, 東京, naïve café, 🎉🎉"


@check("C4.1", "streaming")
async def events_are_whole_json_in_utf8(server: Server) -> None:
    stream = await server.chat_stream(messages=[{"role": "user", "content": LETTERS}], max_tokens=16)
    expect("\N{REPLACEMENT CHARACTER}" not in stream.text()[:-1], "a character was cut")


@check("C4.1", "streaming", extra=True)
async def no_event_is_cut_between_two_http_chunks(server: Server) -> None:
    parts = (await server.chat_stream(max_tokens=16)).reply.parts
    cut = [part for part in parts if not part.endswith(b"\n\n")]
    expect(not cut, f"{len(cut)} of {len(parts)} chunks end inside an event")


@check("C4.1", "streaming", extra=True)
async def events_are_compact_json(server: Server) -> None:
    body = (await server.chat_stream()).reply.body
    expect(b'"choices": ' not in body, "there are blanks between JSON's tokens")


@check("C4.1", "streaming", extra=True)
async def a_chat_is_in_the_form_of_raygates_engines(server: Server) -> None:
    stream = await server.chat_stream(n=2, temperature=1, max_tokens=8, stream_options={"include_usage": True})
    expect_equal("what is not", mistakes(stream.reply.body, has_usage=True, comments=True), [])


@check("C4.1", "streaming")
async def no_part_of_a_stop_text_gets_out(server: Server) -> None:
    whole = str((await server.chat())["choices"][0]["message"]["content"])
    stop = inner_word(whole)
    stream = await server.chat_stream(stop=[stop])
    expect_equal("content", stream.text(), whole.split(stop, maxsplit=1)[0])
    expect_equal("finish_reason", stream.finish_reasons(), ["stop"])


@check("C4.2", "streaming")
async def all_chunks_share_id_created_and_model(server: Server) -> None:
    stream = await server.chat_stream()
    heads = {(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in stream.chunks}
    expect_equal("the number of heads", len(heads), 1)
    ((answer_id, _, _, kind),) = heads
    expect(answer_id.startswith("chatcmpl-"), "its id does not begin with chatcmpl-")
    expect_equal("object", kind, "chat.completion.chunk")


@check("C4.2", "streaming")
async def chunks_agree_in_their_fingerprint(server: Server) -> None:
    stream = await server.chat_stream()
    told = {chunk["system_fingerprint"] for chunk in stream.chunks if chunk.get("system_fingerprint")}
    expect(len(told) <= 1, f"there are {len(told)}")


@check("C4.3", "streaming")
async def the_first_chunk_of_a_choice_has_its_role(server: Server) -> None:
    stream = await server.chat_stream()
    first, *others = stream.deltas()
    expect_equal("role", first.get("role"), "assistant")
    expect(not any(delta.get("role") for delta in others), "the role is told more than once")


@check("C4.3", "streaming", extra=True)
async def the_first_delta_is_a_role_with_empty_content(server: Server) -> None:
    expect_equal("it", (await server.chat_stream()).deltas()[0], {"role": "assistant", "content": ""})


@check("C4.3", "streaming")
async def every_choice_ends_once(server: Server) -> None:
    stream = await server.chat_stream(n=2, temperature=1, max_tokens=4)
    for index in (0, 1):
        expect_equal(f"the number of ends of choice {index}", len(stream.finish_reasons(index)), 1)
        expect(stream.choices(index)[-1].get("finish_reason"), f"choice {index} goes on after its end")


@check("C4.3", "streaming", extra=True)
async def the_last_delta_is_empty(server: Server) -> None:
    expect_equal("it", (await server.chat_stream()).deltas()[-1], {})


@check("C4.3", "streaming")
async def streamed_and_whole_answers_are_the_same(server: Server) -> None:
    stream, whole = await server.chat_stream(), (await server.chat())["choices"][0]
    expect_equal("the streamed content", stream.text(), whole["message"]["content"])
    expect_equal("the streamed finish_reason", stream.finish_reasons(), [whole["finish_reason"]])


@check("C4.4", "streaming")
async def usage_comes_in_one_chunk_without_choices_to_who_asks(server: Server) -> None:
    stream = await server.chat_stream(stream_options={"include_usage": True})
    expect_equal("the number of usages", len(stream.usages()), 1)
    expect_equal("choices of the last chunk", stream.chunks[-1]["choices"], [])
    expect(stream.chunks[-1].get("usage"), "the last chunk has no usage")


@check("C4.4", "streaming")
async def usage_does_not_come_to_who_does_not_ask(server: Server) -> None:
    stream = await server.chat_stream()
    expect(not stream.usages(), "there is a usage")
    expect(all(chunk["choices"] for chunk in stream.chunks), "a chunk has no choices")


@check("C4.4", "streaming")
async def stream_options_without_a_stream_are_refused(server: Server) -> None:
    await server.refused(CHAT, server.chat_body(stream_options={"include_usage": True}))


@check("C4.5", "streaming")
async def streamed_and_whole_usage_are_the_same(server: Server) -> None:
    stream = await server.chat_stream(max_tokens=3, stream_options={"include_usage": True})
    whole = (await server.chat(max_tokens=3))["usage"]
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        expect_equal(f"the streamed {name}", stream.usages()[-1][name], whole[name])
    expect("reasoning_tokens" in stream.usages()[-1]["completion_tokens_details"], "there are no details")


@check("C4.7", "streaming")
async def a_stream_cut_by_max_tokens_ends_with_length(server: Server) -> None:
    expect_equal("finish_reason", (await server.chat_stream(max_tokens=2)).finish_reasons(), ["length"])


@check("C4.8", "streaming")
async def an_error_before_the_first_event_has_its_own_status(server: Server) -> None:
    await server.refused(CHAT, server.chat_body(stream=True, temperature="hot"))
    await server.refused(CHAT, server.chat_body(stream=True, model="no-such-model"), 404)


@check("C1.11", "streaming")
async def a_stream_ends_with_done_and_nothing_behind_it(server: Server) -> None:
    expect((await server.chat_stream()).done, "the last event is not [DONE]")
