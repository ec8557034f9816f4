"""Deterministic and instant: for load tests, fault tests and capacity planning.

It streams ``max_tokens`` tokens (64 by default), one event each, as fast as it can or at a configured pace.
A token is a word of the last message, over and over; a prompt token is a word of the prompt.
"""

import asyncio
import itertools
import os
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ray.serve import Application
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from engines.base import Engine, EngineSettings, EngineStartError, Load, error_response
from engines.replica import application

DONE = b"data: [DONE]\n\n"


class EchoArgs(BaseModel):
    """The ``engine_args`` of an echo model.

    Attributes:
        tokens_per_s: the pace of one stream; ``None`` is as fast as it can.
        first_token_s: what a prefill would take.
        default_max_tokens: tokens of an answer when the request names no number.
        journal: a file that gets a line for every token of a stream, with the request's id; it survives the engine,
            so that fault tests can compare a ledger with what was really produced.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens_per_s: float | None = Field(default=None, gt=0)
    first_token_s: float = Field(default=0, ge=0)
    default_max_tokens: int = Field(default=64, ge=1)
    journal: Path | None = None


class StreamOptions(BaseModel):
    """``stream_options`` of a chat request."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """The fields of a chat request that an echo needs."""

    messages: list[dict[str, Any]] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    n: int | None = Field(default=1, ge=1)
    stream: bool | None = False
    stream_options: StreamOptions | None = None


class EchoEngine(Engine):
    """Answers with the words of the last message."""

    kind = "echo"

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        try:
            self._args = EchoArgs.model_validate(settings.engine_args)
        except ValidationError as error:
            first = error.errors()[0]
            raise EngineStartError(f"engine_args.{first['loc'][0]}: {first['msg']}") from None
        self._running = 0

    async def start(self) -> ASGIApp:
        """Return the app; there is nothing to load."""
        app = Starlette(routes=[Route("/v1/chat/completions", self._chat, methods=["POST"])])

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            requests = 1 if scope["type"] == "http" else 0
            self._running += requests
            try:
                await app(scope, receive, send)
            finally:
                self._running -= requests

        return counted

    def load(self) -> Load:
        """Return the count of answers in progress; an echo queues nothing."""
        return Load(running=self._running, waiting=0)

    async def _chat(self, request: Request) -> Response:
        try:
            chat = ChatRequest.model_validate_json(await request.body())
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            path = ".".join(map(str, first["loc"]))
            return error_response(400, f"Invalid value for '{path}': {first['msg']}.", code="invalid_value", param=path)
        reply = Reply(chat, self.settings.model, self._args)
        if chat.stream:
            request_id = request.headers.get("x-request-id", "")
            events = self._journaled(reply.events(), request_id) if self._args.journal else reply.events()
            return StreamingResponse(events, media_type="text/event-stream")
        await reply.wait()
        return Response(reply.whole(), media_type="application/json")

    async def _journaled(self, events: AsyncIterator[bytes], request_id: str) -> AsyncIterator[bytes]:
        assert self._args.journal is not None  # noqa: S101 - the caller looked
        journal = os.open(self._args.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            async for event in events:
                if b'"delta":{"content":' in event:
                    os.write(journal, f"{request_id}\n".encode())
                yield event
        finally:
            os.close(journal)


class Reply:
    """One answer, as a stream of events or as a whole."""

    def __init__(self, chat: ChatRequest, model: str, args: EchoArgs) -> None:
        self._chat = chat
        self._args = args
        self._choices = chat.n or 1
        self._tokens = chat.max_completion_tokens or chat.max_tokens or args.default_max_tokens
        self._head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}
        self._words = _text(chat.messages[-1]).split() or ["echo"]
        prompt = sum(len(_text(message).split()) for message in chat.messages)
        completion = self._tokens * self._choices
        self._usage = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }

    async def wait(self) -> None:
        """Take the time that the tokens would take at the configured pace."""
        pace = self._tokens / self._args.tokens_per_s if self._args.tokens_per_s else 0
        await asyncio.sleep(self._args.first_token_s + pace)

    def whole(self) -> bytes:
        """Return the ``chat.completion`` object."""
        text = "".join(self._token(place) for place in range(self._tokens))
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        choices = [
            {"index": index, "message": message, "logprobs": None, "finish_reason": "length"}
            for index in range(self._choices)
        ]
        fields = {"object": "chat.completion", "choices": choices, "usage": self._usage}
        return orjson.dumps({**self._head, **fields, "service_tier": None, "system_fingerprint": None})

    async def events(self) -> AsyncIterator[bytes]:
        """Yield the events of the stream, one token of each choice at a time."""
        pause = 1 / self._args.tokens_per_s if self._args.tokens_per_s else 0
        if self._args.first_token_s:
            await asyncio.sleep(self._args.first_token_s)
        for index in range(self._choices):
            yield self._event(index, {"role": "assistant", "content": ""})
        for place, index in itertools.product(range(self._tokens), range(self._choices)):
            if pause and index == 0:
                await asyncio.sleep(pause)
            yield self._event(index, {"content": self._token(place)})
        for event in self._ending():
            yield event

    def _ending(self) -> Iterator[bytes]:
        for index in range(self._choices):
            yield self._event(index, {}, finish_reason="length")
        if self._chat.stream_options and self._chat.stream_options.include_usage:
            yield self._chunk({"choices": [], "usage": self._usage})
        yield DONE

    def _event(self, index: int, delta: dict[str, str], finish_reason: Literal["length"] | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._chunk({"choices": [choice]})

    def _chunk(self, fields: dict[str, Any]) -> bytes:
        head = {**self._head, "object": "chat.completion.chunk", "system_fingerprint": None}
        return b"data: " + orjson.dumps({**head, **fields}) + b"\n\n"

    def _token(self, place: int) -> str:
        word = self._words[place % len(self._words)]
        return word if place == 0 else f" {word}"


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(part.get("text", "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def build(args: dict[str, Any]) -> Application:
    """Return the Serve application of one echo model; see :func:`engines.replica.application`."""
    return application(EchoEngine, args)
