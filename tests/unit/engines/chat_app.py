"""A chat app for the Responses layer to stand in front of, and the SDK in front of both."""

import json
from typing import Any

import httpx
from openai import AsyncOpenAI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.responses import Response as HttpResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from engines.responses import with_responses

USAGE = {
    "prompt_tokens": 7,
    "completion_tokens": 3,
    "total_tokens": 10,
    "prompt_tokens_details": {"cached_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 1},
}


class Chat:
    """A chat app that answers as it is told, and remembers what it was asked.

    Attributes:
        message: of a whole answer.
        deltas: of a streamed one.
        reason: why it finished; without one a stream breaks off.
        asked: the last request's body.
    """

    def __init__(self, message: dict[str, Any], deltas: list[dict[str, Any]], reason: str | None = "stop") -> None:
        self.message = message
        self.deltas = deltas
        self.reason = reason
        self.asked: dict[str, Any] = {}

    def app(self) -> ASGIApp:
        return Starlette(routes=[Route("/v1/chat/completions", self._answer, methods=["POST"])])

    async def _answer(self, request: Request) -> HttpResponse:
        self.asked = await request.json()
        if self.asked.get("stream"):
            return StreamingResponse(iter(self._events()), media_type="text/event-stream")
        choice = {"index": 0, "message": self.message, "finish_reason": self.reason, "logprobs": None}
        return JSONResponse({"object": "chat.completion", "choices": [choice], "usage": USAGE})

    def _events(self) -> list[str]:
        chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in self.deltas]
        if self.reason:
            chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": self.reason}]})
            chunks.append({"choices": [], "usage": USAGE})
        # Cut in the middle of events, as a network may.
        ended = ["[DONE]"] if self.reason else []
        text = "".join(f"data: {data}\n\n" for data in [*map(json.dumps, chunks), *ended])
        return [text[start : start + 50] for start in range(0, len(text), 50)]


def saying(text: str, reason: str | None = "stop") -> Chat:
    deltas = [{"role": "assistant", "content": ""}, *({"content": f"{word} "} for word in text.split())]
    return Chat({"role": "assistant", "content": text}, deltas, reason)


def calling() -> Chat:
    calls = [
        {"id": f"call_{place}", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
        for place in range(2)
    ]
    deltas = []
    for place, call in enumerate(calls):
        head = {"index": place, "id": call["id"], "type": "function", "function": {"name": "weather", "arguments": ""}}
        deltas.append({"tool_calls": [head]})
        deltas += [
            {"tool_calls": [{"index": place, "function": {"arguments": piece}}]} for piece in ('{"city":', '"Rome"}')
        ]
    return Chat({"role": "assistant", "content": None, "tool_calls": calls}, deltas, "tool_calls")


def sdk(app: ASGIApp) -> AsyncOpenAI:
    transport = httpx.ASGITransport(with_responses(app))
    return AsyncOpenAI(
        base_url="http://engine/v1", api_key="none", max_retries=0, http_client=httpx.AsyncClient(transport=transport)
    )
