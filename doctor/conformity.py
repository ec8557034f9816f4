"""Every answer that the other checks have brought about fits OpenAI's published schema for its type."""

from doctor.check import check
from doctor.server import Server
from doctor.verdict import expect


@check("C5.1", "chat", last=True)
async def every_chat_answer_fits_the_published_schema(server: Server) -> None:
    await server.chat()
    _expect_conformity(server, "chat.completion")


@check("C4.2", "streaming", last=True)
async def every_chat_chunk_fits_the_published_schema(server: Server) -> None:
    await server.chat_stream()
    _expect_conformity(server, "chat.completion.chunk")


@check("C6.1", "completions", last=True)
async def every_completion_fits_the_published_schema(server: Server) -> None:
    await server.complete()
    await server.complete_stream()
    _expect_conformity(server, "text_completion", "text_completion.chunk")


@check("C7.3", "embeddings", last=True)
async def every_embedding_fits_the_published_schema(server: Server) -> None:
    await server.embed()
    _expect_conformity(server, "embeddings.float", "embeddings.base64")


@check("C8.3", "responses", last=True)
async def every_response_and_event_fits_the_published_schema(server: Server) -> None:
    await server.respond()
    await server.respond_stream()
    _expect_conformity(server, "response", "response.event")


@check("C5.1", "chat", last=True, extra=True)
async def no_answer_has_fields_that_the_published_schema_lacks(server: Server) -> None:
    await server.chat()
    extras = server.journal.extras()
    expect(not extras, f"unknown fields: {', '.join(extras)}")


def _expect_conformity(server: Server, *kinds: str) -> None:
    wrong = [
        f"{what} ({times} of {server.journal.answers(kind)})"
        for kind in kinds
        for what, times in server.journal.wrong(kind).items()
    ]
    expect(not wrong, "; ".join(wrong))
