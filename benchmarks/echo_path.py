"""The echo engine's part of the table: whole answers and streams, one client and many."""

from collections.abc import Callable
from functools import partial

from benchmarks.load import Stint
from benchmarks.measure import Figure, Results, Sample, Workload
from benchmarks.report import Row

ALONE, RAYGATE, ORDINARY = SERVERS = ("engine alone", "Raygate", "ordinary path")

CLIENTS = 32
_STINT = Stint(seconds=1.5)
_PROMPT = [{"role": "user", "content": "The quick brown fox jumps over the lazy dog"}]
_WHOLE = {"model": "echo", "messages": _PROMPT, "max_tokens": 16}
_STREAM = {"model": "echo", "messages": _PROMPT, "max_tokens": 64, "stream": True}

ONE_REQUEST = Workload("1 connection", _WHOLE, 1, _STINT)
REQUESTS = Workload(f"{CLIENTS} connections", _WHOLE, CLIENTS, _STINT)
ONE_STREAM = Workload("1 stream", _STREAM, 1, _STINT)
STREAMS = Workload(f"{CLIENTS} streams", _STREAM, CLIENTS, _STINT)
WORKLOADS = (ONE_REQUEST, REQUESTS, ONE_STREAM, STREAMS)


def rows(results: Results) -> list[Row]:
    """Return the rows of the table."""
    added_ms = results.added(ONE_REQUEST.name, RAYGATE, ALONE, partial(_latency_ms, percent=50))
    requests = results.against(REQUESTS.name, RAYGATE, ORDINARY, requests_per_s)
    chunks = results.against(STREAMS.name, RAYGATE, ORDINARY, _events_per_s)
    of_alone = results.against(STREAMS.name, RAYGATE, ALONE, _events_per_s)
    return [
        Row("Echo engine, whole answers of 16 tokens"),
        _rate(results, "requests/s", ONE_REQUEST, requests_per_s),
        _times(results, "p50 / p99 ms", ONE_REQUEST, _latency_ms, f"p50 {added_ms:+.2f} ms", "at most +2 ms"),
        _rate(results, "requests/s", REQUESTS, requests_per_s, f"{requests:.1f} x ordinary", "at least 6 x"),
        _times(results, "p50 / p99 ms", REQUESTS, _latency_ms),
        _cpu(results, "CPU s per 1,000 requests", REQUESTS, 1_000, lambda sample: sample.figures.requests),
        Row("Echo engine, streams of 64 chunks"),
        _rate(results, "chunks/s", ONE_STREAM, _events_per_s),
        _times(results, "first token p50 / p99 ms", ONE_STREAM, _first_event_ms),
        _rate(results, "chunks/s", STREAMS, _events_per_s, f"{chunks:.1f} x ordinary", "at least 12 x"),
        Row("", compared=f"{of_alone:.2f} x alone", target="at least 0.5 x"),
        _times(results, "first token p50 / p99 ms", STREAMS, _first_event_ms),
        _cpu(results, "CPU s per 100,000 chunks", STREAMS, 100_000, lambda sample: sample.figures.events),
    ]


def _rate(results: Results, unit: str, of: Workload, figure: Figure, compared: str = "", target: str = "") -> Row:
    figures = [f"{results.median(of.name, server, figure):,.0f}" for server in SERVERS]
    return Row(f"{unit}, {of.name}", figures, compared, target)


def _times(
    results: Results, unit: str, of: Workload, figure: Callable[..., float], compared: str = "", target: str = ""
) -> Row:
    def cell(server: str) -> str:
        times = (results.median(of.name, server, partial(figure, percent=percent)) for percent in (50, 99))
        return " / ".join(f"{time:,.2f}" for time in times)

    return Row(f"{unit}, {of.name}", [cell(server) for server in SERVERS], compared, target)


def _cpu(results: Results, title: str, of: Workload, per: float, work: Figure) -> Row:
    costs = [results.cpu_s(of.name, server, per=per, work=work) for server in SERVERS]
    gateway = results.cpu_s(of.name, RAYGATE, per=per, work=work, part="gateway")
    return Row(title, [f"{cost:.2f}" for cost in costs], f"the gateway alone {gateway:.2f}")


def requests_per_s(sample: Sample) -> float:
    """Return the rate of whole answers."""
    return sample.figures.requests_per_s


def _events_per_s(sample: Sample) -> float:
    return sample.figures.events_per_s


def _latency_ms(sample: Sample, percent: int) -> float:
    return sample.figures.latency_ms(percent)


def _first_event_ms(sample: Sample, percent: int) -> float:
    return sample.figures.first_event_ms(percent)
