"""What keys, limits and the ledger cost: Raygate with all of it, and the same path without."""

from benchmarks.echo_path import REQUESTS, requests_per_s
from benchmarks.measure import Results, Sample
from benchmarks.report import Row

GOVERNED, UNGOVERNED = "with", "without"
WORKLOADS = (REQUESTS,)

LIMITS = ("requests/minute=100000000", "tokens/minute=100000000000", "concurrency=100000", "money/month=1000000000")
"""Set on the key and counted for each request, and never reached."""


def rows(results: Results) -> list[Row]:
    """Return the rows of the table."""
    share = results.against(REQUESTS.name, GOVERNED, UNGOVERNED, requests_per_s) * 100
    cpu = {
        server: results.cpu_s(REQUESTS.name, server, per=1, work=_requests, part="gateway") * 1e6
        for server in (GOVERNED, UNGOVERNED)
    }
    rates = {server: results.median(REQUESTS.name, server, requests_per_s) for server in cpu}
    added_us = cpu[GOVERNED] - cpu[UNGOVERNED]
    return [
        Row("Keys, limits and ledger, on the echo engine"),
        Row(
            f"requests/s, {REQUESTS.name}: with them, {rates[GOVERNED]:,.0f}; without, {rates[UNGOVERNED]:,.0f}",
            compared=f"{share:.0f} %",
            target="at least 75 %",
        ),
        Row(
            f"the gateway's CPU us a request: with them, {cpu[GOVERNED]:,.0f}; without, {cpu[UNGOVERNED]:,.0f}",
            compared=f"{added_us:+,.0f} us",
        ),
    ]


def _requests(sample: Sample) -> float:
    return sample.figures.requests
