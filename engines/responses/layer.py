"""The ASGI layer: a request for a response goes in as one for a chat, and what comes out is put back."""

from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engines.base import error_response
from engines.responses.events import BROKEN, ResponseEvents
from engines.responses.items import Json
from engines.responses.refusal import Refusal
from engines.responses.request import Request, parse
from engines.responses.response import begun, ended, failed, output_of

RESPONSES = "/v1/responses"
CHAT = "/v1/chat/completions"

_EVENT_STREAM = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
_PARAMS = {
    "messages": "input",
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
}
"""What the fields that a chat complains of are called here."""


def with_responses(app: ASGIApp) -> ASGIApp:
    """Return ``app`` with ``POST /v1/responses`` in front of its ``POST /v1/chat/completions``.

    It keeps nothing: whoever wants a conversation to go on sends all of it, and ``store`` is always false.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (scope["method"], scope["path"]) == ("POST", RESPONSES):
            await _respond(app, scope, receive, send)
        else:
            await app(scope, receive, send)

    return answer


async def _respond(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        request, chat = parse(_parsed(await _body(receive)))
    except Refusal as refusal:
        await error_response(400, str(refusal), code=refusal.code, param=refusal.param)(scope, receive, send)
        return
    answer = (_Streamed if request.stream else _Whole)(request, send)
    await app(*_as_chat(scope, receive, orjson.dumps(chat)), answer)


def _as_chat(scope: Scope, receive: Receive, body: bytes) -> tuple[Scope, Receive]:
    """Return the exchange as the chat should see it."""
    headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
    headers.append((b"content-length", b"%d" % len(body)))
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_chat() -> Message:
        return unread.pop() if unread else await receive()

    return {**scope, "path": CHAT, "raw_path": CHAT.encode(), "headers": headers}, receive_chat


async def _body(receive: Receive) -> bytes:
    chunks, more = [], True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(chunks)


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refusal("The request body must be JSON.", None, "invalid_json") from None


class _Whole:
    """Takes a chat's answer that comes whole; sends the response."""

    def __init__(self, request: Request, send: Send) -> None:
        self._request = request
        self._send = send
        self._status = 0
        self._chunks: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        """Take a message of the chat's."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            return
        self._chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            body = b"".join(self._chunks)
            body = orjson.dumps(self._response(orjson.loads(body))) if self._status == 200 else _refused(body)
            await _send_json(self._send, self._status, body)

    def _response(self, chat: Json) -> Json:
        response = begun(self._request)
        choice = chat["choices"][0]
        reason, logprobs = choice["finish_reason"], (choice.get("logprobs") or {}).get("content") or ()
        output = output_of(choice["message"], logprobs, reason)
        return failed(response, output) if reason in BROKEN else ended(response, output, reason, chat.get("usage"))


class _Streamed:
    """Takes a chat's events; sends the response's."""

    def __init__(self, request: Request, send: Send) -> None:
        self._events = ResponseEvents(begun(request))
        self._send = send
        self._status = 0
        self._held = b""

    async def __call__(self, message: Message) -> None:
        """Take a message of the chat's."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            if self._status == 200:
                await self._send({**message, "headers": list(_EVENT_STREAM)})
                await self._pass(self._events.begin())
            return
        self._held += message.get("body", b"")
        more = message.get("more_body", False)
        if self._status == 200:
            await self._tell(more=more)
        elif not more:
            await _send_json(self._send, self._status, _refused(self._held))

    async def _tell(self, *, more: bool) -> None:
        *events, self._held = self._held.split(b"\n\n")
        told = b"".join(self._told(event) for event in events)
        if not more and not self._events.done:
            told += self._events.end()
        if told or not more:
            await self._pass(told, more=more)

    def _told(self, event: bytes) -> bytes:
        if self._events.done or not event.startswith(b"data: "):
            return b""
        data = event.removeprefix(b"data: ")
        return self._events.end() if data == b"[DONE]" else self._events.tell(orjson.loads(data))

    async def _pass(self, events: bytes, *, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": events, "more_body": more})


def _refused(body: bytes) -> bytes:
    """Return a chat's refusal with the names that its fields have here."""
    try:
        refusal = orjson.loads(body)
        error = refusal["error"]
        field = str(error["param"]).partition(".")[0]
        error["param"] = _PARAMS.get(field, error["param"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return body
    return orjson.dumps(refusal)


async def _send_json(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
