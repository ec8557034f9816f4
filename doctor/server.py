"""The server under examination, as a client sees it: requests out, replies in, nothing in between."""

from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson

from doctor.journal import Journal
from doctor.reply import Reply, Stream
from doctor.verdict import Failed, brief

CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES = "/chat/completions", "/completions", "/embeddings", "/responses"

QUESTION = "What is the capital of France?"


def session() -> aiohttp.ClientSession:
    """Return connections that wait as long as a check does, and no longer than a minute to be let in."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=60)
    return aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))


class Server:
    """Asks one server about one model; whatever it generates goes into the journal."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        key: str,
        model: str,
        embedding_model: str | None = None,
        *,
        journal: Journal | None = None,
    ) -> None:
        """Prepare to ask.

        Args:
            session: the connections.
            base_url: up to and with ``/v1``.
            key: an API key.
            model: the model that chats, completes and responds.
            embedding_model: the one that embeds; ``model`` if there is none.
            journal: is told of every answer; a new one by default.
        """
        self._session = session
        self.base_url = base_url.rstrip("/")
        self._key = key
        self.model = model
        self.embedding_model = embedding_model or model
        self.journal = journal or Journal()

    async def first_model(self) -> str:
        """Return the name that the server lists first; raises :class:`Failed` when it lists none."""
        reply = await self.ask("GET", "/models")
        if reply.status != 200:
            raise Failed(f"no models are listed: status {reply.status}")
        return str(reply.json()["data"][0]["id"])

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        content: bytes | aiohttp.MultipartWriter | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> Reply:
        """Send one request, and return the reply, whatever its status.

        Args:
            method: of HTTP.
            path: behind the base URL.
            body: is sent as JSON.
            content: is sent as it is, in place of ``body``.
            headers: beside those that a client of the API sends.
            key: in place of the right one; ``""`` sends none.
        """
        async with self.asking(method, path, body, content=content, headers=headers, key=key) as response:
            parts = await _parts(response)
            seen = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status, seen, parts)

    def asking(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        content: bytes | aiohttp.MultipartWriter | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> Any:
        """Return a context in which the response begins to arrive; leaving it early hangs up."""
        shown = self._key if key is None else key
        sent = {"authorization": f"Bearer {shown}"} if shown else {}
        if body is not None or content is not None:
            sent["content-type"] = "application/json"
        data = orjson.dumps(body) if content is None and body is not None else content
        url = f"{self.base_url}{path}"
        return self._session.request(method, url, data=data, headers={**sent, **(headers or {})}, allow_redirects=False)

    async def post(self, path: str, body: Mapping[str, Any], **how: Any) -> Reply:
        """Send one POST; see :meth:`ask`."""
        return await self.ask("POST", path, body, **how)

    def chat_body(self, **fields: Any) -> dict[str, Any]:
        """Return the body of a short, likely the same, chat; fields of ``None`` are left out."""
        messages = [{"role": "user", "content": QUESTION}]
        return _told({"model": self.model, "messages": messages, "max_tokens": 12, "temperature": 0, **fields})

    def completion_body(self, **fields: Any) -> dict[str, Any]:
        """Return the body of a short completion."""
        prompt = "The capital of France is"
        return _told({"model": self.model, "prompt": prompt, "max_tokens": 6, "temperature": 0, **fields})

    async def chat(self, **fields: Any) -> dict[str, Any]:
        """Return a whole ``chat.completion``."""
        return await self.generated(CHAT, self.chat_body(**fields), "chat.completion")

    async def chat_stream(self, **fields: Any) -> Stream:
        """Return a stream of ``chat.completion.chunk``."""
        return await self.streamed(CHAT, self.chat_body(stream=True, **fields), "chat.completion.chunk")

    async def complete(self, **fields: Any) -> dict[str, Any]:
        """Return a whole ``text_completion``."""
        return await self.generated(COMPLETIONS, self.completion_body(**fields), "text_completion")

    async def complete_stream(self, **fields: Any) -> Stream:
        """Return a stream of ``text_completion``."""
        return await self.streamed(COMPLETIONS, self.completion_body(stream=True, **fields), "text_completion.chunk")

    async def embed(self, **fields: Any) -> dict[str, Any]:
        """Return the embeddings of an input."""
        body = {"model": self.embedding_model, "input": QUESTION, **fields}
        return await self.generated(EMBEDDINGS, body, f"embeddings.{fields.get('encoding_format', 'float')}")

    async def respond(self, **fields: Any) -> dict[str, Any]:
        """Return a whole ``response``; it is not stored unless asked for."""
        return await self.generated(RESPONSES, self.response_body(**fields), "response")

    async def respond_stream(self, **fields: Any) -> Stream:
        """Return a stream of a response's events."""
        return await self.streamed(RESPONSES, self.response_body(stream=True, **fields), "response.event")

    def response_body(self, **fields: Any) -> dict[str, Any]:
        """Return the body of a short response."""
        body = {"model": self.model, "input": QUESTION, "max_output_tokens": 16, "temperature": 0, "store": False}
        return _told({**body, **fields})

    async def generated(self, path: str, body: Mapping[str, Any], kind: str) -> dict[str, Any]:
        """Return the JSON of a successful answer, which the journal keeps as one of ``kind``."""
        reply = await self.post(path, body)
        _expect_success(reply)
        answer: dict[str, Any] = reply.json()
        self.journal.note(kind, answer)
        return answer

    async def streamed(self, path: str, body: Mapping[str, Any], kind: str) -> Stream:
        """Return a successful stream, whose chunks the journal keeps as of ``kind``."""
        reply = await self.post(path, body)
        _expect_success(reply)
        stream = Stream.of(reply)
        for chunk in stream.chunks:
            self.journal.note(kind, chunk)
        return stream

    async def refused(self, path: str, body: Mapping[str, Any], status: int = 400, **how: Any) -> dict[str, Any]:
        """Return the error of a request that must be refused with ``status``."""
        reply = await self.post(path, body, **how)
        if reply.status != status:
            raise Failed(f"status {reply.status}, not {status}")
        return reply.error()


async def _parts(response: aiohttp.ClientResponse) -> tuple[bytes, ...]:
    """Read a body, cut where the server's HTTP chunks end."""
    parts, part = [], b""
    async for data, ends in response.content.iter_chunks():
        part += data
        if ends:
            parts.append(part)
            part = b""
    return tuple(part for part in (*parts, part) if part)


def _expect_success(reply: Reply) -> None:
    if reply.status != 200:
        raise Failed(f"status {reply.status}: {brief(reply.body.decode(errors='replace'))}")


def _told(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
