"""What a server can do: asked before the checks, so that none fails for what the server never promised."""

import asyncio
from collections.abc import Mapping

from doctor.check import Capability
from doctor.completions import TOKENS
from doctor.reply import Reply
from doctor.server import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, Server
from doctor.structured import OF_SCHEMA
from doctor.tools import CHOSEN, WEATHER
from doctor.verdict import Failed, brief

NOT_SERVED = frozenset({400, 404, 405, 415, 422, 501})
"""Statuses by which a server says that it does not do something; after any other the checks find out why."""


class NotServed(Exception):
    """The key does not hold, or nothing answers under the model's name; the message has the server's own words."""


async def survey(server: Server) -> Mapping[Capability, str]:
    """Return what the server lacks, and how it said so.

    Raises:
        NotServed: it does not know the key, or the model.
        aiohttp.ClientError: nobody answers.
    """
    await _expect_a_model(server)
    requests = _requests(server)
    replies = await asyncio.gather(*(_refusal(server, *requests[capability]) for capability in requests))
    lacks = {capability: said for capability, said in zip(requests, replies, strict=True) if said is not None}
    for capability, without in _IMPLIED.items():
        if without in lacks:
            lacks.setdefault(capability, lacks[without])
    return lacks


_IMPLIED: Mapping[Capability, Capability] = {"batches": "files"}


def _requests(server: Server) -> dict[Capability, tuple[str, str, dict[str, object] | None]]:
    """Return the smallest request that needs each capability."""
    schema = {"response_format": OF_SCHEMA}
    return {
        "chat": ("POST", CHAT, server.chat_body(max_tokens=1)),
        "streaming": ("POST", CHAT, server.chat_body(max_tokens=1, stream=True)),
        "tools": ("POST", CHAT, server.chat_body(**{**CHOSEN, "max_tokens": 1})),
        "auto_tools": ("POST", CHAT, server.chat_body(max_tokens=1, tools=[WEATHER], tool_choice="auto")),
        "structured_outputs": ("POST", CHAT, server.chat_body(max_tokens=1, **schema)),
        "logprobs": ("POST", CHAT, server.chat_body(max_tokens=1, logprobs=True)),
        "completions": ("POST", COMPLETIONS, server.completion_body(max_tokens=1)),
        "prompt_tokens": ("POST", COMPLETIONS, server.completion_body(max_tokens=1, prompt=TOKENS)),
        "prompt_echo": ("POST", COMPLETIONS, server.completion_body(max_tokens=1, echo=True)),
        "completion_logprobs": ("POST", COMPLETIONS, server.completion_body(max_tokens=1, logprobs=1)),
        "prompt_logprobs": ("POST", COMPLETIONS, server.completion_body(max_tokens=1, echo=True, logprobs=1)),
        "embeddings": ("POST", EMBEDDINGS, {"model": server.embedding_model, "input": "one"}),
        "responses": ("POST", RESPONSES, server.response_body()),
        "stored_responses": ("POST", RESPONSES, server.response_body(store=True)),
        "files": ("GET", "/files", None),
        "batches": ("GET", "/batches", None),
    }


async def _refusal(server: Server, method: str, path: str, body: dict[str, object] | None) -> str | None:
    """Return how the server refused; ``None`` when it did not."""
    reply = await server.ask(method, path, body)
    return f"{reply.status} {_message(reply)}" if reply.status in NOT_SERVED else None


async def _expect_a_model(server: Server) -> None:
    reply = await server.ask("POST", CHAT, server.chat_body(max_tokens=1))
    unknown = reply.status == 404 and b"model_not_found" in reply.body
    if unknown or reply.status in {401, 403, 429} or reply.status >= 500:
        raise NotServed(f"{server.model}: {reply.status} {_message(reply)}")


def _message(reply: Reply) -> str:
    """Return what the server says, in whatever shape."""
    try:
        return brief(reply.json()["error"]["message"])
    except (Failed, KeyError, TypeError):
        return brief(reply.body.decode(errors="replace"))
