"""Rounds of measurements: every server in turn, so that a busy machine is busy for all of them."""

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from benchmarks import load
from benchmarks.load import Figures, Stint, Target
from benchmarks.servers import Server


@dataclass(frozen=True)
class Workload:
    """What is asked for, by how many clients, for how long.

    Attributes:
        body: of each request.
        clients: connections, each with one request at a time.
    """

    name: str
    body: dict[str, object]
    clients: int
    stint: Stint


@dataclass(frozen=True)
class Sample:
    """One server under one workload once: what clients saw, and the CPU seconds of each part of the path."""

    figures: Figures
    cpu_s: dict[str, float]


Figure = Callable[[Sample], float]
Tell = Callable[[str], None]
"""Takes what is measured next."""


@dataclass
class Results:
    """Samples by workload and server, one a round, in the order of the rounds."""

    rounds: int = 0
    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)

    def median(self, workload: str, server: str, figure: Figure) -> float:
        """Return a figure's median over the rounds."""
        return statistics.median(map(figure, self.samples[workload, server]))

    def against(self, workload: str, server: str, other: str, figure: Figure) -> float:
        """Return how many times the other server's figure a server's is: the median of the rounds' own ratios."""
        pairs = zip(self.samples[workload, server], self.samples[workload, other], strict=True)
        return statistics.median(figure(one) / figure(two) for one, two in pairs)

    def uncertainty(self, workload: str, server: str, other: str, figure: Figure) -> float:
        """Return the standard error of ``against``: a median's, which is the square root of pi / 2 times a mean's."""
        pairs = zip(self.samples[workload, server], self.samples[workload, other], strict=True)
        ratios = [figure(one) / figure(two) for one, two in pairs]
        return math.sqrt(math.pi / 2 / len(ratios)) * statistics.stdev(ratios) if len(ratios) > 1 else math.inf

    def added(self, workload: str, server: str, other: str, figure: Figure) -> float:
        """Return what a server adds to the other's figure: the median of the rounds' own differences."""
        pairs = zip(self.samples[workload, server], self.samples[workload, other], strict=True)
        return statistics.median(figure(one) - figure(two) for one, two in pairs)

    def cpu_s(self, workload: str, server: str, *, per: float, work: Figure, part: str | None = None) -> float:
        """Return the CPU seconds for ``per`` units of work, over all rounds.

        Args:
            work: the units in a sample: its requests, or its events.
            part: of the path; all of it by default.
        """
        samples = self.samples[workload, server]
        spent = sum(sample.cpu_s[part] if part else sum(sample.cpu_s.values()) for sample in samples)
        return per * spent / sum(map(work, samples))

    def failures(self) -> int:
        """Return how many requests failed in all."""
        return sum(sample.figures.failures for samples in self.samples.values() for sample in samples)


async def measure(
    servers: Mapping[str, Server], workloads: Sequence[Workload], *, seconds: float, tell: Tell
) -> Results:
    """Put every server under every workload once a round, after a first round that does not count.

    Args:
        seconds: after so long no new round begins; one round there is always.
    """
    results, until = Results(), time.monotonic() + seconds
    tell("warming up")
    for workload in workloads:
        for server in servers.values():
            await _sample(server, workload)
    while results.rounds == 0 or time.monotonic() < until:
        order = _turned(servers, results.rounds)
        results.rounds += 1
        for workload in workloads:
            for name in order:
                tell(f"round {results.rounds}: {workload.name}, {name}")
                sample = await _sample(servers[name], workload)
                results.samples.setdefault((workload.name, name), []).append(sample)
    return results


async def _sample(server: Server, workload: Workload) -> Sample:
    target = Target.post(server.url, orjson.dumps(workload.body), server.headers)
    before = server.cpu_s()
    figures = await load.run(target, clients=workload.clients, stint=workload.stint)
    return Sample(figures, {part: spent - before[part] for part, spent in server.cpu_s().items()})


def _turned(names: Iterable[str], number: int) -> list[str]:
    """Return the names beginning with another one each round: nobody is always first."""
    order = list(names)
    number %= len(order)
    return order[number:] + order[:number]
