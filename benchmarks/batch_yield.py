"""How much longer interactive requests wait for their first token while a batch of 1,000 lines runs.

``python benchmarks/batch_yield.py`` starts SmolLM2 on vLLM behind Raygate, measures clients that come one by one
with pauses, without a batch and with one, in turns, and prints a table.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import openai

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.e2e.running import KEY, Raygate, raygate

LINES = 1_000
QUIET_S = 30
"""After which a model is idle: ``batches.quiet_s``, by default."""
CONFIG = """
models:
  - name: smollm2
    engine: vllm
    source: embedded:smollm2
    engine_args: {max_model_len: 2048, enforce_eager: true}
"""
QUESTION = "Write a long story about a lighthouse and the two foxes who kept it. Mention the sea, the fog and the moon."


@dataclass(frozen=True)
class Arrivals:
    """How clients come: so many requests, with pauses between them whose mean is ``pause_s``, exponentially spread."""

    requests: int
    pause_s: float


def first_token_s(client: httpx.Client, words: random.Random) -> float:
    """Ask once; return the seconds until the first event with text."""
    prompt = f"{QUESTION} Their number is {words.random()}."  # no prefix cache makes it short
    body = {
        "model": "smollm2",
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": 16,
        "stream": True,
        "ignore_eos": True,
    }
    began_at, first = time.perf_counter(), 0.0
    with client.stream("POST", "/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        for event in response.iter_lines():
            if not first and '"content":"' in event and '"content":""' not in event:
                first = time.perf_counter() - began_at
    return first


def visits(running: Raygate, arrivals: Arrivals, seed: int) -> list[float]:
    """Return the times to first token of clients that come and go."""
    chance = random.Random(seed)
    with running.client() as client:
        times = []
        for _ in range(arrivals.requests):
            time.sleep(chance.expovariate(1 / arrivals.pause_s))
            times.append(first_token_s(client, chance))
    return times


def begin_batch(client: openai.OpenAI) -> str:
    """Upload a batch of 1,000 lines; return its id."""
    lines = [
        {
            "custom_id": f"line-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {
                "model": "smollm2",
                "messages": [{"role": "user", "content": f"Tell me about the number {number}."}],
                "max_tokens": 64,
                "ignore_eos": True,
            },
        }
        for number in range(LINES)
    ]
    data = "\n".join(map(json.dumps, lines)).encode()
    file = client.files.create(file=("lines.jsonl", data), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    return batch.id


def completed(client: openai.OpenAI, batch_id: str) -> int:
    counts = client.batches.retrieve(batch_id).request_counts
    return counts.completed if counts else 0


def end_batch(client: openai.OpenAI, batch_id: str) -> None:
    client.batches.cancel(batch_id)
    while client.batches.retrieve(batch_id).status != "cancelled":
        time.sleep(0.2)


def spread(times: list[float]) -> str:
    """Return a row's figures in milliseconds."""
    ordered = sorted(times)
    p90 = ordered[int(0.9 * (len(ordered) - 1))]
    return f"{statistics.median(ordered) * 1000:,.1f} | {p90 * 1000:,.1f}"


@dataclass
class Measured:
    """Times to first token in seconds, and how far the batch came meanwhile."""

    without: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    lines_beside: int = 0
    lines_per_s_alone: float = 0.0


def measure(running: Raygate, arrivals: Arrivals, turns: int, alone_s: float) -> Measured:
    """Measure without a batch and beside one, in turns; in the end, let the batch have ``alone_s`` to itself."""
    measured = Measured()
    with openai.OpenAI(base_url=running.openai_url, api_key=KEY) as client:
        visits(running, Arrivals(5, 0.1), seed=0)
        for turn in range(1, turns + 1):
            measured.without += visits(running, arrivals, seed=turn)
            batch = begin_batch(client)
            time.sleep(3)
            before = completed(client, batch)
            measured.beside += visits(running, arrivals, seed=turn)
            measured.lines_beside += completed(client, batch) - before
            if turn == turns and alone_s:
                time.sleep(QUIET_S)
                before = completed(client, batch)
                time.sleep(alone_s)
                measured.lines_per_s_alone = (completed(client, batch) - before) / alone_s
            end_batch(client, batch)
    return measured


def report(measured: Measured) -> str:
    """Return the figures as a table and a sentence."""
    rise = statistics.median(measured.beside) / statistics.median(measured.without) - 1
    return f"""| time to first token, ms | median | p90 |
|---|---:|---:|
| no batch | {spread(measured.without)} |
| a batch of {LINES:,} lines runs | {spread(measured.beside)} |

The median rises by {rise:+.1%}. {measured.lines_beside} lines ran beside {len(measured.beside)} requests;
alone, {measured.lines_per_s_alone:.1f} lines a second."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=40, help="interactive requests a turn (default: 40)")
    parser.add_argument("--pause", type=float, default=0.5, help="mean pause between them, seconds (default: 0.5)")
    parser.add_argument("--turns", type=int, default=3, help="turns of each kind (default: 3)")
    parser.add_argument("--alone", type=float, default=20, help="seconds that a batch has to itself (default: 20)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config, home = Path(folder) / "batch_yield.yaml", Path(folder) / "home"
        config.write_text(CONFIG)
        with raygate(config, home) as running:
            print(report(measure(running, Arrivals(asked.requests, asked.pause), asked.turns, asked.alone)))


if __name__ == "__main__":
    main()
