"""The routes that models answer: one table of endpoints, one way through all of them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import Form
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from gateway import paths
from gateway.config.settings import Bounds, GatewaySettings
from gateway.endpoints import chat, completions, embeddings, messages, scoring, tokens, transcriptions
from gateway.endpoints.call import Call
from gateway.endpoints.closed import Closed, without_unknown
from gateway.http.body import read_json
from gateway.http.dialects import ANTHROPIC, OPENAI, Dialect
from gateway.http.exchange import Response
from gateway.http.upload import read_upload
from gateway.request.identify import identify
from gateway.request.life import answer
from gateway.request.services import Services
from gateway.routes.plain import PlainRoute

Read = Callable[[Scope, Receive, GatewaySettings], Awaitable[Call]]


@dataclass(frozen=True)
class Endpoint:
    """A path that models answer.

    Attributes:
        read: reads the request and makes a :class:`Call` of it, or raises a 4xx.
        body: describes the body in the OpenAPI schema: its closed list of fields.
        summary: what it does, in the schema.
        tag: its family there.
        dialect: how its errors are put.
    """

    path: str
    read: Read
    body: Any
    summary: str
    tag: str
    dialect: Dialect = OPENAI


async def _upload(scope: Scope, receive: Receive, settings: GatewaySettings) -> Call:
    upload = await read_upload(scope, receive, settings.bounds)
    if settings.unknown_fields == "refuse":
        return transcriptions.parse_transcription(upload, settings.bounds)
    known, dropped = without_unknown(transcriptions.TranscriptionBody, upload.fields)
    return replace(transcriptions.parse_transcription(replace(upload, fields=known), settings.bounds), dropped=dropped)


def _endpoint(
    path: str,
    body: type[Closed],
    parse: Callable[[dict[str, Any], Bounds], Call],
    summary: str,
    tag: str,
    dialect: Dialect = OPENAI,
) -> Endpoint:
    """Return an endpoint whose requests are JSON."""

    async def read(scope: Scope, receive: Receive, settings: GatewaySettings) -> Call:
        payload = await read_json(scope, receive, settings.bounds)
        if settings.unknown_fields == "refuse":
            return parse(payload, settings.bounds)
        known, dropped = without_unknown(body, payload)
        return replace(parse(known, settings.bounds), dropped=dropped)

    return Endpoint(path, read, body, summary, tag, dialect)


ENDPOINTS = (
    _endpoint(paths.CHAT, chat.ChatBody, chat.parse_chat, "Answer a conversation, whole or as a stream", "chat"),
    _endpoint(
        paths.COMPLETIONS,
        completions.CompletionBody,
        completions.parse_completion,
        "Complete a text, whole or as a stream",
        "completions",
    ),
    _endpoint(paths.EMBEDDINGS, embeddings.EmbeddingBody, embeddings.parse_embedding, "Embed texts", "embeddings"),
    _endpoint(
        paths.MESSAGES,
        messages.MessagesBody,
        messages.parse_messages,
        "Answer a conversation in Anthropic's form, whole or as a stream",
        "messages",
        ANTHROPIC,
    ),
    _endpoint(
        paths.COUNT_TOKENS,
        messages.CountBody,
        messages.parse_count,
        "Count a conversation's tokens, in Anthropic's form",
        "messages",
        ANTHROPIC,
    ),
    _endpoint(paths.RERANK, scoring.RerankBody, scoring.parse_rerank, "Order documents by a query", "scoring"),
    _endpoint(paths.SCORE, scoring.ScoreBody, scoring.parse_score, "Score pairs of texts", "scoring"),
    Endpoint(
        paths.TRANSCRIPTIONS,
        _upload,
        Annotated[transcriptions.TranscriptionUpload, Form(media_type="multipart/form-data")],
        "Turn speech into text",
        "audio",
    ),
    _endpoint(paths.TOKENIZE, tokens.TokenizeBody, tokens.parse_tokenize, "Turn text into token ids", "tokens"),
    _endpoint(paths.DETOKENIZE, tokens.DetokenizeBody, tokens.parse_detokenize, "Turn token ids into text", "tokens"),
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

        async def read() -> Call:
            call = await self._read(scope, receive, self._services.settings)
            tell_dropped(response, call.dropped)
            return call

        await answer(self._services, key, read, response)


def tell_dropped(response: Response, names: Sequence[str]) -> None:
    """Name in the response what of the request was dropped: the first few fields, for a header has its bounds."""
    if names:
        response.extra.append((b"x-raygate-dropped-fields", ", ".join(names[:_TOLD]).encode()))


_TOLD = 16
