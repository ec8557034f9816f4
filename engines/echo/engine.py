"""The echo engine: the routes, and the count of what runs."""

import os
from functools import partial

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from engines.base import Engine, EngineSettings, EngineStartError, Load, error_response
from engines.counted import Counted
from engines.echo.args import EchoArgs
from engines.echo.embedding import embeddings
from engines.echo.reply import ChatReply, CompletionReply, Reply
from engines.echo.request import ChatRequest, CompletionRequest, EmbeddingRequest, RequestError, parse
from engines.echo.transcription import transcription
from engines.responses import with_responses
from engines.used import count_with


class EchoEngine(Engine):
    """Answers with the words that it is sent."""

    kind = "echo"

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        try:
            self._args = EchoArgs.model_validate(settings.engine_args)
        except ValidationError as error:
            first = error.errors()[0]
            raise EngineStartError(f"engine_args.{first['loc'][0]}: {first['msg']}") from None
        self._counted: Counted | None = None
        self._journal: int | None = None

    async def start(self) -> ASGIApp:
        """Return the app; there is nothing to load."""
        if self._args.journal is not None:
            self._journal = os.open(self._args.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        app = Starlette(
            routes=[
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/v1/completions", self._complete, methods=["POST"]),
                Route("/v1/embeddings", self._embed, methods=["POST"]),
                Route("/v1/audio/transcriptions", _transcribe, methods=["POST"]),
            ],
            exception_handlers={RequestError: _refused},
        )
        self._counted = Counted(app)
        return with_responses(self._counted)

    def load(self) -> Load:
        """Return the count of answers in progress; an echo queues nothing."""
        return Load(running=self._counted.running if self._counted else 0, waiting=0)

    async def stop(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            os.close(self._journal)
            self._journal = None

    async def _chat(self, request: Request) -> Response:
        chat = parse(ChatRequest, await request.body())
        return await self._answer(request, ChatReply(chat, self.settings.model, self._args))

    async def _complete(self, request: Request) -> Response:
        completion = parse(CompletionRequest, await request.body())
        return await self._answer(request, CompletionReply(completion, self.settings.model, self._args))

    async def _embed(self, request: Request) -> Response:
        asked = parse(EmbeddingRequest, await request.body())
        return Response(embeddings(asked, self.settings.model), media_type="application/json")

    async def _answer(self, request: Request, reply: Reply) -> Response:
        count_with(reply.used)
        if self._journal is not None:
            line = f"{request.headers.get('x-request-id', '')}\n".encode()
            reply.journal(partial(os.write, self._journal, line))
        if reply.asked.stream:
            return StreamingResponse(reply.events(), media_type="text/event-stream")
        await reply.wait()
        return Response(reply.whole(), media_type="application/json")


async def _transcribe(request: Request) -> Response:
    return Response(await transcription(request), media_type="application/json")


async def _refused(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, RequestError)  # noqa: S101 - registered for it alone
    return error_response(400, str(error), code="invalid_value", param=error.param)
