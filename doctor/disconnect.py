"""Clients that leave: the server goes on for the others. That the work ends shows inside the server alone."""

import asyncio
import contextlib

from doctor.check import check
from doctor.server import CHAT, Server
from doctor.verdict import expect

_PROMPT_S = 30
_LEAVERS = 8


@check("C9.1", "streaming")
async def clients_that_leave_their_streams_hold_up_nobody(server: Server) -> None:
    async def leave() -> None:
        body = server.chat_body(stream=True, max_tokens=512)
        async with server.asking("POST", CHAT, body) as response:
            await response.content.readany()

    await asyncio.gather(*(leave() for _ in range(_LEAVERS)))
    await _expect_prompt_answer(server)


@check("C9.2", "chat")
async def clients_that_leave_before_their_answers_hold_up_nobody(server: Server) -> None:
    async def leave() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3), server.asking("POST", CHAT, server.chat_body(max_tokens=512)) as response:
                await response.read()

    await asyncio.gather(*(leave() for _ in range(_LEAVERS)))
    await _expect_prompt_answer(server)


async def _expect_prompt_answer(server: Server) -> None:
    try:
        async with asyncio.timeout(_PROMPT_S):
            await server.chat(max_tokens=1)
    except TimeoutError:
        expect(False, f"the next request has no answer within {_PROMPT_S} s")
