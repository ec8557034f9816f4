"""The load generator counts what arrives, and nothing else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from benchmarks.load import Stint, Target, run

STREAM = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


@contextlib.asynccontextmanager
async def answering(*pieces: bytes) -> AsyncIterator[Target]:
    """Serve each request with the pieces, one write each; an empty piece closes the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while not writer.is_closing():
                await reader.readuntil(b"\r\n\r\n{}")
                for piece in pieces:
                    writer.write(piece)
                    await asyncio.sleep(0.001)
                    if not piece:
                        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield Target.post(f"http://127.0.0.1:{port}/v1/chat/completions", b"{}", {"authorization": "Bearer x"})


def test_a_target_is_a_whole_request() -> None:
    target = Target.post("http://127.0.0.1:80/v1/models", b"{}", {"x-one": "1"})
    assert target.request == (
        b"POST /v1/models HTTP/1.1\r\nhost: 127.0.0.1:80\r\ncontent-type: application/json\r\n"
        b"content-length: 2\r\nx-one: 1\r\n\r\n{}"
    )


async def test_every_client_sends_its_number_of_requests() -> None:
    async with answering(WHOLE) as target:
        figures = await run(target, clients=3, stint=Stint(requests=4))
    assert (figures.requests, figures.failures, figures.events) == (12, 0, 0)


async def test_a_stint_ends_when_its_time_is_over() -> None:
    async with answering(WHOLE) as target:
        figures = await run(target, clients=1, stint=Stint(seconds=0.05))
    assert figures.requests > 1
    assert 0.05 <= figures.seconds < 5


async def test_events_are_counted_wherever_the_stream_is_cut() -> None:
    pieces = (STREAM[:20], STREAM[20:] + b"12\r\ndata: 1\n\nda", b"ta: 2\n\n\r\n0", b"\r\n\r\n")
    async with answering(*pieces) as target:
        figures = await run(target, clients=1, stint=Stint(requests=2))
    assert (figures.requests, figures.events, len(figures.first_events)) == (2, 4, 2)


async def test_other_statuses_are_failures() -> None:
    async with answering(b"HTTP/1.1 503 Busy\r\ncontent-length: 2\r\n\r\n{}") as target:
        figures = await run(target, clients=1, stint=Stint(requests=2))
    assert (figures.requests, figures.failures) == (0, 2)


async def test_a_connection_that_ends_before_its_answer_is_a_failure() -> None:
    async with answering(STREAM, b"") as target:
        figures = await run(target, clients=2, stint=Stint(requests=5))
    assert (figures.requests, figures.failures) == (0, 2)


async def test_an_answer_that_never_ends_is_a_failure() -> None:
    async with answering(STREAM) as target:
        figures = await run(target, clients=1, stint=Stint(requests=1), patience_s=0.05)
    assert (figures.requests, figures.failures) == (0, 1)
