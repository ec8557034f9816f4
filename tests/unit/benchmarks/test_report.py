"""Figures become medians of the rounds, and the rows of one table."""

import io

import pytest
from rich.console import Console

from benchmarks import echo_path, real_model
from benchmarks.load import Figures
from benchmarks.measure import Results, Sample
from benchmarks.report import Row, busy_warning, machine_facts, markdown, show

SERVERS = (real_model.DIRECT, real_model.RAYGATE)


def sample(seconds: float, **cpu_s: float) -> Sample:
    return Sample(Figures(seconds, latencies=[0.001] * 100, first_events=[0.002] * 100, events=6700), cpu_s)


@pytest.fixture
def results() -> Results:
    """Two rounds, of which the second met a machine half as fast."""
    parts = {"one": {"engine": 0.1}, "two": {"gateway": 0.2, "engine": 0.1}}
    return Results(2, {("load", server): [sample(1, **cpu), sample(2, **cpu)] for server, cpu in parts.items()})


def test_servers_are_compared_round_by_round(results: Results) -> None:
    results.samples["load", "two"][0] = sample(0.5)
    assert results.against("load", "two", "one", lambda sample: sample.figures.requests_per_s) == 1.5
    assert results.added("load", "two", "one", lambda sample: sample.figures.seconds) == -0.25


def test_what_differs_from_round_to_round_is_told(results: Results) -> None:
    def seconds(sample: Sample) -> float:
        return sample.figures.seconds

    assert results.uncertainty("load", "two", "one", seconds) == 0
    results.samples["load", "two"][0] = sample(1.2)
    assert results.uncertainty("load", "two", "one", seconds) == pytest.approx(0.1253, abs=1e-4)


def test_cpu_time_is_that_of_the_whole_path_or_of_a_part(results: Results) -> None:
    def requests(sample: Sample) -> int:
        return sample.figures.requests

    assert results.cpu_s("load", "two", per=1000, work=requests) == pytest.approx(3)
    assert results.cpu_s("load", "two", per=1000, work=requests, part="gateway") == pytest.approx(2)


def test_the_table_has_a_row_for_every_figure_and_every_target() -> None:
    echo = Results(
        1, {(load.name, s): [sample(1, gateway=1)] for load in echo_path.WORKLOADS for s in echo_path.SERVERS}
    )
    streams, beginnings = (
        Results(1, {(load.name, s): [sample(1, haproxy=1, gateway=1, model=1)] for load in workloads for s in SERVERS})
        for workloads in (real_model.STREAMS, real_model.BEGINNINGS)
    )
    rows = [*echo_path.rows(echo), *real_model.rows(streams, beginnings, on_gpu=False)]
    assert [row.target for row in rows if row.target] == [
        "at most +2 ms",
        "at least 6 x",
        "at least 12 x",
        "at least 0.5 x",
        *["at least -1 %"] * 4,
        *["at most +5 ms"] * 3,
    ]
    assert (
        len(real_model.rows(streams, beginnings, on_gpu=True))
        == len(real_model.rows(streams, beginnings, on_gpu=False)) - 1
    )


def test_markdown_holds_the_rows_the_facts_and_the_notes() -> None:
    page = markdown([Row("Echo"), Row("requests/s", ["1", "2"], "2 x", "6 x")], ["a fact"], ["a note"], "make bench")
    assert "| **Echo** |  |  |  |  |  |" in page
    assert "| requests/s | 1 | 2 |  | 2 x | 6 x |" in page
    assert "- a fact" in page
    assert page.endswith("a note\n")


def test_the_terminal_shows_the_same() -> None:
    console = Console(record=True, width=120, file=io.StringIO())
    show([Row("Echo"), Row("requests/s", ["1"])], machine_facts(), ["a note"], console)
    text = console.export_text()
    assert "requests/s" in text
    assert "cores" in text
    assert "a note" in text


@pytest.mark.parametrize(("load", "notes"), [(0.1, 0), (15.0, 1)])
def test_a_busy_machine_is_told_of(monkeypatch: pytest.MonkeyPatch, load: float, notes: int) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert len(busy_warning()) == notes
