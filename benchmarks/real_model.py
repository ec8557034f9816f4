"""The real model's part of the table: SmolLM2 on vLLM, asked directly and through Raygate."""

import os

from benchmarks.load import Stint
from benchmarks.measure import Figure, Results, Sample, Workload
from benchmarks.report import Row

DIRECT, RAYGATE = "vLLM directly", "Raygate"

TOKENS = 64
_STREAM = {
    "model": "smollm2",
    "messages": [{"role": "user", "content": "Write a long story about a lighthouse and the two foxes who kept it."}],
    "max_tokens": TOKENS,
    "temperature": 0,
    "ignore_eos": True,  # vLLM's own field: every answer has all its tokens
    "stream": True,
}
_BEGINNING = {**_STREAM, "max_tokens": 2}
"""What is asked for the first token's sake: the rest of a stream would only make the rounds fewer."""


def _workloads(body: dict[str, object]) -> tuple[Workload, ...]:
    """Return one with 1, one with 8 and one with 16 clients.

    Every client has the same number of equal streams, so the batch is full to the end.
    """
    return (
        Workload("1 stream", body, 1, Stint(requests=2)),
        Workload("8 streams", body, 8, Stint(requests=1)),
        Workload("16 streams", body, 16, Stint(requests=1)),
    )


STREAMS, BEGINNINGS = _workloads(_STREAM), _workloads(_BEGINNING)


def rows(streams: Results, beginnings: Results, *, on_gpu: bool) -> list[Row]:
    """Return the rows of the table: the throughput of whole streams, and the first tokens of their beginnings.

    Args:
        on_gpu: the model's time on a core, which says nothing of a GPU, is left out.
    """
    heading = Row(f"SmolLM2 on vLLM, streams of {TOKENS} tokens")
    throughput = [_throughput(streams, workload.name) for workload in STREAMS]
    first_tokens = [_first_token(beginnings, workload.name) for workload in BEGINNINGS]
    busiest = STREAMS[-1].name
    on_core = [] if on_gpu else [_on_core(streams, busiest)]
    return [heading, *throughput, *on_core, _taken(streams, busiest), *first_tokens]


def _throughput(results: Results, workload: str) -> Row:
    figures = [f"{results.median(workload, server, _tokens_per_s):,.1f}" for server in (DIRECT, RAYGATE)]
    change = _change(results, workload, _tokens_per_s)
    return Row(f"tokens/s, {workload}", figures, compared=change, target="at least -1 %")


def _on_core(results: Results, workload: str) -> Row:
    """Return for how much of the time the model has run: what the path took from it, however fast the machine was.

    A shared machine's speed changes by more than a percent from one second to the next, and tokens/s with it.
    """
    figures = [f"{results.median(workload, server, _model_percent):.1f}" for server in (DIRECT, RAYGATE)]
    change = _change(results, workload, _model_percent)
    return Row(f"the model on a core, % of the time, {workload}", figures, compared=change, target="at least -1 %")


def _change(results: Results, workload: str, figure: Figure) -> str:
    change = results.against(workload, RAYGATE, DIRECT, figure) - 1
    error = results.uncertainty(workload, RAYGATE, DIRECT, figure)
    return f"{100 * change:+.1f} % (± {100 * error:.1f})"


def _taken(results: Results, workload: str) -> Row:
    """Return what the path takes of the cores that the model could have: idle, when the model is asked directly."""
    figures = [f"{results.median(workload, server, _path_percent):.1f}" for server in (DIRECT, RAYGATE)]
    added = results.added(workload, RAYGATE, DIRECT, _path_percent)
    return Row(f"HAProxy and gateway, % of all cores, {workload}", figures, compared=f"{added:+.1f} points")


def _first_token(results: Results, workload: str) -> Row:
    figures = [f"{results.median(workload, server, _first_token_ms):,.1f}" for server in (DIRECT, RAYGATE)]
    added = results.added(workload, RAYGATE, DIRECT, _first_token_ms)
    return Row(f"first token p50 ms, {workload}", figures, compared=f"{added:+.1f} ms", target="at most +5 ms")


def _tokens_per_s(sample: Sample) -> float:
    return sample.figures.requests * TOKENS / sample.figures.seconds


def _model_percent(sample: Sample) -> float:
    return 100 * sample.cpu_s["model"] / sample.figures.seconds


def _path_percent(sample: Sample) -> float:
    spent = sum(sample.cpu_s[part] for part in ("haproxy", "gateway"))
    return 100 * spent / sample.figures.seconds / (os.cpu_count() or 1)


def _first_token_ms(sample: Sample) -> float:
    return sample.figures.first_event_ms(50)
