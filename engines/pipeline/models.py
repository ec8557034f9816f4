"""The other models, as a pipeline sees them while it answers one request."""

import base64
import contextlib
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import orjson
from numpy.typing import NDArray
from opentelemetry.trace import SpanKind

from engines.base import CACHE_SALT_HEADER, Used
from engines.pipeline.chat import Delta
from engines.pipeline.errors import ApiError
from engines.pipeline.events import events_of
from engines.pipeline.handles import Ask, Part
from engines.pipeline.traces import Step, Trace
from engines.pipeline.usage import NOTHING, Usage

CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"

_OWN_FIELDS = frozenset({"model", "stream", "stream_options", "cache_salt"})
_BYTES_PER_TOKEN = 4
_A_TOKEN = Usage(completion_tokens=1)

_FAILED = frozenset({"abort", "error"})
"""Finish reasons with which vLLM says that it could not go on."""


class Models:
    """Calls models by their roles, and adds up what they used. Its end is the end of every call still open.

    Args:
        names: the models by role, as ``engine_args.models`` has them.
        ask: reaches a model.
        headers: sent with each call.
        cache_salt: keeps apart what models remember of this project's prompts and of others'.
        trace: where the calls stand in the request's trace.
    """

    def __init__(
        self, names: Mapping[str, str], ask: Ask, headers: Mapping[str, str], cache_salt: str | None, trace: Trace
    ) -> None:
        self._names = names
        self._ask = ask
        self._headers = headers
        self._salted = {CACHE_SALT_HEADER: cache_salt} if cache_salt else {}
        self._trace = trace
        self._open = contextlib.AsyncExitStack()
        self._calls: list[_Call] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    @property
    def usage(self) -> Usage:
        """What all calls used so far."""
        return sum((call.usage for call in self._calls), start=NOTHING)

    def used(self) -> Used:
        """Return the usage as the gateway's ledger counts it."""
        return Used(self.usage.prompt_tokens, self.usage.completion_tokens, self.usage.cached_tokens)

    def step(self, name: str, attributes: Mapping[str, Any] | None = None) -> contextlib.AbstractContextManager[Step]:
        """Take a step of the pipeline's own: ``with models.step("look up the order"): ...``. It shows in the trace.

        Args:
            name: of the step; like the attributes, it must not hold anything that the client sent.
            attributes: OpenTelemetry's, of the step's span.
        """
        return self._trace.step(name, attributes=attributes)

    def chat(self, role: str, body: Mapping[str, Any]) -> AsyncGenerator[Delta, None]:
        """Yield a chat model's answer as it comes; the first delta comes once the model has begun.

        Args:
            role: of the model, in ``engine_args.models``.
            body: as in OpenAI's API reference; ``model`` and ``stream`` are set here.

        Raises:
            ApiError: the model's own error, or 503 when it is not there.
        """
        answer = self._chat(self._name(role), body)
        self._open.push_async_callback(answer.aclose)
        return answer

    async def _chat(self, name: str, body: Mapping[str, Any]) -> AsyncGenerator[Delta, None]:
        asked = {field: value for field, value in body.items() if field not in _OWN_FIELDS}
        asked |= {"model": name, "stream": True, "stream_options": {"include_usage": True}}
        with self._call("chat", name) as call:
            async with contextlib.aclosing(self._begin(call, CHAT, asked, self._salted)) as parts:
                async for event in events_of(parts):
                    chunk = orjson.loads(event)
                    if "error" in chunk:
                        raise ApiError.of_model(200, event)
                    if chunk.get("usage"):
                        call.counted(chunk["usage"])
                    for choice in chunk["choices"]:
                        call.usage += _A_TOKEN
                        yield _delta(choice)

    async def embed(self, role: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the embeddings of texts, a row each.

        Args:
            role: of the model, in ``engine_args.models``.
            texts: at least one, none of them empty.

        Raises:
            ApiError: the model's own error, or 503 when it is not there.
        """
        name = self._name(role)
        asked = {"model": name, "input": list(texts), "encoding_format": "base64"}
        with self._call("embeddings", name) as call:
            async with contextlib.aclosing(self._begin(call, EMBEDDINGS, asked)) as parts:
                answer = orjson.loads(b"".join([part async for part in parts]))
            call.counted(answer["usage"])
        rows = sorted(answer["data"], key=lambda row: row["index"])
        return np.stack([np.frombuffer(base64.b64decode(row["embedding"]), "<f4") for row in rows])

    def _name(self, role: str) -> str:
        try:
            return self._names[role]
        except KeyError:
            raise LookupError(f"engine_args.models names no model for {role!r}") from None

    @contextlib.contextmanager
    def _call(self, operation: str, name: str) -> Iterator["_Call"]:
        attributes = {"gen_ai.operation.name": operation, "gen_ai.request.model": name}
        with self._trace.step(f"{operation} {name}", SpanKind.CLIENT, attributes) as step:
            call = _Call(name, step)
            self._calls.append(call)
            yield call

    async def _begin(
        self, call: "_Call", path: str, body: dict[str, Any], more: Mapping[str, str] | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a model's answer, once it has turned out to be one."""
        headers = {**self._headers, **call.step.below.headers(), **(more or {})}
        asked = orjson.dumps(body)
        async with contextlib.aclosing(self._ask(call.model, path, headers, asked)) as parts:
            status, _ = _opening(await anext(parts))
            if status != 200:
                raise ApiError.of_model(status, b"".join([_bytes(part) async for part in parts]))
            call.usage = Usage(prompt_tokens=len(asked) // _BYTES_PER_TOKEN)
            async for part in parts:
                yield _bytes(part)


@dataclass
class _Call:
    """A call to a model: what it used is guessed until the model tells, which it does at its end."""

    model: str
    step: Step
    usage: Usage = NOTHING

    def counted(self, told: dict[str, Any]) -> None:
        self.usage = Usage.of(told)
        self.step.used(self.usage)


def _delta(choice: dict[str, Any]) -> Delta:
    reason = choice.get("finish_reason")
    if reason in _FAILED:
        raise ApiError.broken()
    return Delta((choice.get("delta") or {}).get("content") or "", reason)


def _opening(part: Part) -> tuple[int, dict[str, str]]:
    assert isinstance(part, tuple)  # noqa: S101 - the first part of an answer
    return part


def _bytes(part: Part) -> bytes:
    assert isinstance(part, bytes)  # noqa: S101 - every other part
    return part
