"""The routes that models answer: one table of endpoints, one way through all of them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import Form
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from gateway import paths
from gateway.config.settings import Bounds
from gateway.endpoints import chat, completions, embeddings, messages, scoring, tokens, transcriptions
from gateway.endpoints.call import Call
from gateway.http.body import read_json
from gateway.http.dialects import ANTHROPIC, OPENAI, Dialect
from gateway.http.exchange import Response
from gateway.request.identify import identify
from gateway.request.life import answer
from gateway.request.services import Services
from gateway.routes.plain import PlainRoute


@dataclass(frozen=True)
class Endpoint:
    """A path that models answer.

    Attributes:
        read: reads the request and makes a :class:`Call` of it, or raises a 4xx.
        body: describes the body in the OpenAPI schema.
        summary: what it does, in the schema.
        tag: its family there.
        dialect: how its errors are put.
    """

    path: str
    read: Callable[[Scope, Receive, Bounds], Awaitable[Call]]
    body: Any
    summary: str
    tag: str
    dialect: Dialect = OPENAI


def _json(parse: Callable[[dict[str, Any], Bounds], Call]) -> Callable[[Scope, Receive, Bounds], Awaitable[Call]]:
    """Return what reads an endpoint's JSON and parses it."""

    async def read(scope: Scope, receive: Receive, bounds: Bounds) -> Call:
        return parse(await read_json(scope, receive, bounds), bounds)

    return read


ENDPOINTS = (
    Endpoint(paths.CHAT, _json(chat.parse_chat), chat.ChatBody, "Answer a conversation, whole or as a stream", "chat"),
    Endpoint(
        paths.COMPLETIONS,
        _json(completions.parse_completion),
        completions.CompletionBody,
        "Complete a text, whole or as a stream",
        "completions",
    ),
    Endpoint(
        paths.EMBEDDINGS, _json(embeddings.parse_embedding), embeddings.EmbeddingBody, "Embed texts", "embeddings"
    ),
    Endpoint(
        paths.MESSAGES,
        _json(messages.parse_messages),
        messages.MessagesBody,
        "Answer a conversation in Anthropic's form, whole or as a stream",
        "messages",
        ANTHROPIC,
    ),
    Endpoint(
        paths.COUNT_TOKENS,
        _json(messages.parse_count),
        messages.CountBody,
        "Count a conversation's tokens, in Anthropic's form",
        "messages",
        ANTHROPIC,
    ),
    Endpoint(paths.RERANK, _json(scoring.parse_rerank), scoring.RerankBody, "Order documents by a query", "scoring"),
    Endpoint(paths.SCORE, _json(scoring.parse_score), scoring.ScoreBody, "Score pairs of texts", "scoring"),
    Endpoint(
        paths.TRANSCRIPTIONS,
        transcriptions.read_transcription,
        Annotated[transcriptions.TranscriptionUpload, Form(media_type="multipart/form-data")],
        "Turn speech into text",
        "audio",
    ),
    Endpoint(paths.TOKENIZE, _json(tokens.parse_tokenize), tokens.TokenizeBody, "Turn text into token ids", "tokens"),
    Endpoint(
        paths.DETOKENIZE, _json(tokens.parse_detokenize), tokens.DetokenizeBody, "Turn token ids into text", "tokens"
    ),
)


def generating_routes(services: Services) -> list[APIRoute]:
    """Return the routes of all endpoints."""
    return [_route(services, endpoint) for endpoint in ENDPOINTS]


def _route(services: Services, endpoint: Endpoint) -> APIRoute:
    def documented(body: Any) -> dict[str, Any]:
        raise NotImplementedError("describes the route; the plain endpoint answers it")

    documented.__annotations__["body"] = endpoint.body
    documented.__name__ = endpoint.path.rpartition("/")[2]
    return PlainRoute(
        endpoint.path, _Answer(services, endpoint), documented, tags=[endpoint.tag], summary=endpoint.summary
    )


class _Answer:
    """The plain ASGI endpoint."""

    def __init__(self, services: Services, endpoint: Endpoint) -> None:
        self._services = services
        self._read = endpoint.read
        self._dialect = endpoint.dialect
        self.path = endpoint.path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        del send  # the envelope's own is richer
        response = Response.of(scope)
        response.dialect = self._dialect
        key = identify(self._services, scope)
        read = partial(self._read, scope, receive, self._services.settings.bounds)
        await answer(self._services, key, read, response)
