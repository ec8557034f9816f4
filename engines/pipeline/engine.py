"""The engine around a pipeline: finds its class, hands it requests, and makes answers of what it yields."""

import contextlib
import importlib
import logging
import traceback
from collections.abc import AsyncGenerator, Iterator, Mapping

from opentelemetry.trace import SpanKind
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from engines.base import TOKEN_HEADER, Engine, EngineSettings, EngineStartError, Load, internal_token
from engines.failure import root_cause
from engines.pipeline.answer import events, heading, whole
from engines.pipeline.args import PipelineArgs
from engines.pipeline.base import Pipeline
from engines.pipeline.chat import ChatRequest, Delta
from engines.pipeline.errors import ApiError
from engines.pipeline.handles import Ask, Handles
from engines.pipeline.models import Models
from engines.pipeline.traces import Trace, Traces
from engines.pipeline.usage import Usage
from engines.responses import with_responses
from engines.used import count_with

DEPTH_HEADER = "x-raygate-depth"
"""How many pipelines a request has come through."""

MAX_DEPTH = 4
"""Pipelines may ask pipelines, but one that asks itself must not go on for ever."""

_log = logging.getLogger("ray.serve")


class PipelineEngine(Engine):
    """Serves one pipeline.

    Args:
        settings: the model's.
        ask: reaches the other models; over Ray Serve's handles, unless something else is given.
    """

    kind = "pipeline"
    takes_cache_salt = True  # and hands it on

    def __init__(self, settings: EngineSettings, ask: Ask | None = None) -> None:
        super().__init__(settings)
        with _told_in_one_line():
            self._args = PipelineArgs.model_validate(settings.engine_args)
        self._ask = ask or Handles().ask
        self._pipeline: Pipeline | None = None
        self._running = 0

    async def start(self) -> ASGIApp:
        """Make the pipeline, let it load what it needs, and return the app."""
        with _told_in_one_line():
            self._pipeline = _class_at(self._args.class_path)(self.settings)
            await self._pipeline.start()
        self._traces = Traces(self.settings.model, self._args.otlp_endpoint)
        self._token = internal_token(self.settings.home)
        routes = [Route("/v1/chat/completions", self._chat, methods=["POST"])]
        return with_responses(Starlette(routes=routes, exception_handlers={ApiError: _refused}))

    def load(self) -> Load:
        """Return the count of answers in progress; what waits, waits in the models."""
        return Load(running=self._running, waiting=0)

    async def stop(self) -> None:
        """Let the pipeline free what it took, and send the last spans."""
        if self._pipeline is not None:
            await self._pipeline.stop()
            await self._traces.close()

    async def _chat(self, request: Request) -> Response:
        chat = ChatRequest.parse(await request.body())
        run = self._run(chat, request.headers)
        # A model that refuses, or is not there, becomes this answer's status: nothing leaves before the first delta.
        parts = _chained(await anext(run), run)
        head = heading(self.settings.model)
        if chat.stream:
            return _Stream(events(head, parts, include_usage=chat.include_usage), media_type="text/event-stream")
        return Response(await whole(head, parts), media_type="application/json")

    async def _run(self, chat: ChatRequest, headers: Mapping[str, str]) -> AsyncGenerator[Delta | Usage, None]:
        """Yield the answer's deltas, then what all models used for it."""
        assert self._pipeline is not None, "start comes first"  # noqa: S101
        trace = Trace.continued(self._traces.tracer, headers)
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": self.settings.model,
            "raygate.request.id": headers.get("x-request-id", ""),
        }
        self._running += 1
        try:
            with trace.step(f"pipeline {self.settings.model}", SpanKind.SERVER, attributes) as step:
                async with self._models(chat, headers, step.below) as models:
                    count_with(models.used)
                    async with contextlib.aclosing(self._pipeline.answer(chat, models)) as deltas:
                        async for delta in deltas:
                            yield delta
                    step.used(models.usage)
                    yield models.usage
        except ApiError:
            raise
        except Exception as error:
            _log.error("pipeline %s failed: %s", self.settings.model, _place(error))
            raise ApiError.broken() from error
        finally:
            self._running -= 1

    def _models(self, chat: ChatRequest, headers: Mapping[str, str], trace: Trace) -> Models:
        depth = int(headers.get(DEPTH_HEADER, "0")) + 1
        if depth > MAX_DEPTH:
            raise RecursionError(f"pipelines ask each other more than {MAX_DEPTH} deep")
        sent = {
            "content-type": "application/json",
            "x-request-id": headers.get("x-request-id", ""),
            TOKEN_HEADER.decode(): self._token,
            DEPTH_HEADER: str(depth),
        }
        return Models(self._args.models, self._ask, sent, chat.body.get("cache_salt"), trace)


class _Stream(StreamingResponse):
    """Closes its events when it ends, however it does: that is how the models learn that the client has left."""

    body_iterator: AsyncGenerator[bytes, None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self.body_iterator):
            await super().__call__(scope, receive, send)


async def _chained(
    first: Delta | Usage, run: AsyncGenerator[Delta | Usage, None]
) -> AsyncGenerator[Delta | Usage, None]:
    async with contextlib.aclosing(run):
        yield first
        async for part in run:
            yield part


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - it is registered for no other
    return JSONResponse(error.fields(), error.status)


def _place(error: Exception) -> str:
    """Return what an exception is and where it was raised; what it says may hold a prompt."""
    raised = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {raised.filename}:{raised.lineno}"


def _class_at(path: str) -> type[Pipeline]:
    module, _, name = path.partition(":")
    found = getattr(importlib.import_module(module), name)
    if not (isinstance(found, type) and issubclass(found, Pipeline)):
        raise EngineStartError(f"engine_args.class: {path} is no subclass of engines.pipeline.Pipeline")
    return found


@contextlib.contextmanager
def _told_in_one_line() -> Iterator[None]:
    """Turn whatever a start raises into what an operator reads."""
    try:
        yield
    except EngineStartError:
        raise
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise EngineStartError(f"engine_args.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except Exception as error:
        raise EngineStartError(root_cause(error)) from error
