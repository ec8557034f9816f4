"""Traces of a pipeline's steps, for OpenTelemetry: what ran, how long, with how many tokens; never a text.

Spans go to a collector over OTLP/HTTP. Without a collector they cost next to nothing: the API's own no-op tracer takes
them. Names and attributes are those of OpenTelemetry's semantic conventions for generative AI, where it has one.
"""

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from opentelemetry.context import Context
from opentelemetry.trace import (
    NoOpTracer,
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from engines.base import EngineStartError
from engines.pipeline.usage import Usage

_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_W3C = TraceContextTextMapPropagator()


@dataclass(frozen=True)
class Trace:
    """A place in a trace, below which steps are taken."""

    tracer: Tracer
    context: Context

    @classmethod
    def continued(cls, tracer: Tracer, headers: Mapping[str, str]) -> Self:
        """Return the trace that a request belongs to by its ``traceparent``, or a new one."""
        return cls(tracer, _W3C.extract(headers))

    @contextlib.contextmanager
    def step(
        self, name: str, kind: SpanKind = SpanKind.INTERNAL, attributes: Mapping[str, Any] | None = None
    ) -> Iterator["Step"]:
        """Take a step. How it ends is noted, but not what an exception says: that may hold a prompt."""
        # No span is made "current": a generator's steps would leak into whoever reads from it.
        span = self.tracer.start_span(name, self.context, kind, attributes)
        try:
            yield Step(span, Trace(self.tracer, set_span_in_context(span, self.context)))
        except (Exception, asyncio.CancelledError, GeneratorExit) as error:
            span.set_status(StatusCode.ERROR)
            span.set_attribute("error.type", type(error).__name__)
            raise
        finally:
            span.end()

    def headers(self) -> dict[str, str]:
        """Return the headers by which another service's spans find their place here."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, self.context)
        return carrier


@dataclass(frozen=True)
class Step:
    """A step that is being taken: its span, and the place below it."""

    span: Span
    below: Trace

    def used(self, usage: Usage) -> None:
        """Note the tokens that the step took."""
        self.span.set_attribute("gen_ai.usage.input_tokens", usage.prompt_tokens)
        self.span.set_attribute("gen_ai.usage.output_tokens", usage.completion_tokens)


class Traces:
    """Where the spans of one engine replica go; nowhere, unless a collector is named.

    Args:
        model: the pipeline's name, which becomes the service's.
        endpoint: the collector's base URL; by default, what OpenTelemetry's own variables name.

    Raises:
        EngineStartError: when there is a collector, but not the package that speaks to it.
    """

    def __init__(self, model: str, endpoint: str | None) -> None:
        self._provider: Any = None
        self.tracer: Tracer = NoOpTracer()
        if endpoint or any(os.environ.get(name) for name in _VARIABLES):
            self._provider = _provider(model, endpoint)
            self.tracer = self._provider.get_tracer("raygate")

    async def close(self) -> None:
        """Send what has not been sent."""
        if self._provider is not None:
            await asyncio.to_thread(self._provider.shutdown)


def _provider(model: str, endpoint: str | None) -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise EngineStartError("traces need the package of the extra raygate[otel]: install it") from None
    url = f"{endpoint.rstrip('/')}/v1/traces" if endpoint else None
    # A provider of our own: the process's global one is Ray's.
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: f"raygate-{model}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
    return provider
