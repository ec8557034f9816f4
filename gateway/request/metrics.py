"""What Prometheus sees: figures by model, never by key or by content."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from auth.usage import Usage
from engines.base import Load

Metric = TypeVar("Metric", Counter, Gauge, Histogram)

UNKNOWN = "unknown"
"""The label of whatever name is not that of a model or an alias."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """The figures of one gateway replica, in a registry of their own."""

    def __init__(self, replica: str, models: Iterable[str]) -> None:
        """Args: replica: this gateway replica's id, a label on each figure; models: the names that have their own.

        Each scrape meets one replica. All other names share the label ``UNKNOWN``: whoever has a key can make up any
        number of names, and each would be a series for ever.
        """
        self._replica = replica
        self._models = frozenset(models)
        self._registry = CollectorRegistry()
        self._requests = self._counter("raygate_requests", "Requests answered, by HTTP status.", "status")
        self._errors = self._counter("raygate_errors", "Requests that ended in an error, by its code.", "code")
        self._prompt = self._counter("raygate_prompt_tokens", "Prompt tokens that engines counted.")
        self._completion = self._counter("raygate_completion_tokens", "Completion tokens that engines counted.")
        self._cached = self._counter("raygate_cached_tokens", "Prompt tokens found in an engine's prefix cache.")
        self._estimated = self._counter(
            "raygate_estimated_requests", "Requests whose tokens the gateway has counted itself."
        )
        self._first_token = self._histogram("raygate_time_to_first_token_seconds", "Arrival to the first event sent.")
        self._duration = self._histogram("raygate_request_duration_seconds", "Arrival to the last byte sent.")
        self._in_progress = self._gauge("raygate_requests_in_progress", "Requests inside this gateway replica.")
        self._refused = Gauge(
            "raygate_ledger_rows_set_aside",
            "Ledger rows that the database refused.",
            ["replica"],
            registry=self._registry,
        )
        self._not_let_in = self._counter("raygate_refusals", "Requests that were not let in, by their error.", "code")
        self._of = lru_cache(maxsize=4096)(self._labelled)

    def begin(self, model: str) -> None:
        """Count a request that entered."""
        self._of(self._in_progress, model).inc()

    def end(
        self,
        model: str,
        *,
        status: int,
        code: str | None,
        first_token_s: float | None,
        total_s: float,
    ) -> None:
        """Count a request that left."""
        self._of(self._in_progress, model).dec()
        self._of(self._requests, model, str(status)).inc()
        self._of(self._duration, model).observe(total_s)
        if status >= 400:
            self._of(self._errors, model, code or str(status)).inc()
        if first_token_s is not None:
            self._of(self._first_token, model).observe(first_token_s)

    def count(self, model: str, usage: Usage, *, estimated: bool) -> None:
        """Count what a request used; ``estimated`` where the engine's own count has not come, or is not believed."""
        self._of(self._prompt, model).inc(usage.prompt_tokens)
        self._of(self._completion, model).inc(usage.completion_tokens)
        self._of(self._cached, model).inc(usage.cached_tokens)
        self._of(self._estimated, model).inc(estimated)

    def refused(self, model: str, code: str) -> None:
        """Count a request that was not let in."""
        self._of(self._not_let_in, model, code).inc()

    def known(self, model: str) -> str:
        """Return the name if a model or an alias has it, else what stands for all others."""
        return model if model in self._models else UNKNOWN

    def exposition(self, rows_set_aside: int = 0) -> bytes:
        """Return the figures in Prometheus' text format; of the ledger's refused rows it is told here."""
        self._refused.labels(self._replica).set(rows_set_aside)
        return generate_latest(self._registry)

    def _labelled(self, metric: Metric, model: str, *labels: str) -> Metric:
        """Return a metric's child for this replica and the labels; Prometheus' client takes its time to find one."""
        return metric.labels(self._replica, self.known(model), *labels)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, ("replica", "model", *labels), registry=self._registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, ("replica", "model"), registry=self._registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(name, text, ("replica", "model"), buckets=_SECONDS, registry=self._registry)


def gateways_up(up: Mapping[str, bool]) -> bytes:
    """Return which gateway replicas answered this scrape in time; the figures of the others are missing from it."""
    registry = CollectorRegistry()
    gauge = Gauge("raygate_up", "Whether the gateway replica has answered in time.", ["replica"], registry=registry)
    for replica, answered in up.items():
        gauge.labels(replica).set(answered)
    return generate_latest(registry)


def engine_loads(loads: Mapping[str, Mapping[str, Load | None]]) -> bytes:
    """Return the engines' own counts in Prometheus' text format.

    Args:
        loads: by model, then by engine replica; ``None`` for one that has not answered in time.
    """
    registry, labels = CollectorRegistry(), ("model", "engine_replica")
    running = Gauge("raygate_engine_requests_running", "Requests that engines generate for.", labels, registry=registry)
    queued = Gauge("raygate_engine_requests_queued", "Requests that wait inside engines.", labels, registry=registry)
    up = Gauge("raygate_engine_up", "Whether the engine replica has answered in time.", labels, registry=registry)
    for model, replicas in loads.items():
        for replica, load in replicas.items():
            up.labels(model, replica).set(load is not None)
            if load is None:
                continue
            running.labels(model, replica).set(load.running)
            queued.labels(model, replica).set(load.waiting)
    return generate_latest(registry)


def merged(expositions: Iterable[bytes]) -> bytes:
    """Return the figures of several gateway replicas as one exposition: each family once, with all its samples."""
    families: dict[bytes, list[bytes]] = {}
    for exposition in expositions:
        for block in exposition.split(b"# HELP ")[1:]:
            help_line, type_line, *samples = block.splitlines()
            families.setdefault(b"# HELP " + help_line + b"\n" + type_line, []).extend(samples)
    return b"".join(b"\n".join([head, *samples, b""]) for head, samples in families.items())
