"""A load generator that costs little: raw HTTP/1.1 over asyncio, one connection a client, keep-alive.

It measures what arrives: whole responses, events of a stream, and the time to the first event. A heavier client
would measure itself.
"""

import asyncio
import math
import statistics
import time
from dataclasses import dataclass, field
from typing import cast

END_OF_CHUNKS = b"0\r\n\r\n"
EVENT = b"data: "
_KEPT = len(EVENT) - 1
"""Bytes of a piece that are looked at again with the next: an event's beginning may be cut in two."""


@dataclass(frozen=True)
class Target:
    """Where requests go: one prepared request, sent over and over."""

    host: str
    port: int
    request: bytes

    @classmethod
    def post(cls, url: str, body: bytes, headers: dict[str, str]) -> "Target":
        """Return the target of ``POST url``; ``url`` is ``http://host:port/path``."""
        authority, _, path = url.removeprefix("http://").partition("/")
        host, _, port = authority.partition(":")
        fields = {"host": authority, "content-type": "application/json", "content-length": str(len(body)), **headers}
        head = f"POST /{path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return cls(host, int(port), head.encode() + b"\r\n" + body)


@dataclass(frozen=True)
class Stint:
    """How long a client goes on: until its time is over or its requests are sent, whichever is first.

    A fixed number of equal requests keeps all the clients busy to the end; a fixed time suits what is quick.
    """

    seconds: float = math.inf
    requests: float = math.inf


@dataclass
class Figures:
    """What a run saw; times in seconds. Only whole answers with status 200 count; the others are failures."""

    seconds: float = 0
    latencies: list[float] = field(default_factory=list)
    first_events: list[float] = field(default_factory=list)
    events: int = 0
    failures: int = 0

    @property
    def requests(self) -> int:
        """Completed requests."""
        return len(self.latencies)

    @property
    def requests_per_s(self) -> float:
        """Completed requests a second."""
        return self.requests / self.seconds

    @property
    def events_per_s(self) -> float:
        """Server-sent events a second, over all streams."""
        return self.events / self.seconds

    def latency_ms(self, percent: int) -> float:
        """Return a percentile of the whole requests' times, in milliseconds."""
        return _percentile(self.latencies, percent) * 1000

    def first_event_ms(self, percent: int) -> float:
        """Return a percentile of the times to the first event, in milliseconds."""
        return _percentile(self.first_events, percent) * 1000


def _percentile(values: list[float], percent: int) -> float:
    if len(values) < 2:
        return values[0] if values else math.nan
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


class _Client(asyncio.Protocol):
    """One connection that sends the next request as soon as the answer to the last is whole."""

    def __init__(self, target: Target, figures: Figures, stint: Stint) -> None:
        self._target, self._figures = target, figures
        self._until = time.perf_counter() + stint.seconds
        self._requests_left = stint.requests
        self._waits = False
        self.finished = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def _next(self) -> None:
        now = time.perf_counter()
        self._waits = now < self._until and self._requests_left > 0
        if not self._waits:
            self._transport.close()
            return
        self._requests_left -= 1
        self._sent, self._seen_head, self._left = now, False, 0
        self._tail, self._first = b"", True
        self._transport.write(self._target.request)

    def data_received(self, data: bytes) -> None:
        if not self._seen_head:
            head, separator, data = (self._tail + data).partition(b"\r\n\r\n")
            if not separator:
                self._tail = head
                return
            self._seen_head, self._tail = True, b""
            self._read_head(head)
        self._read_body(data)

    def _read_head(self, head: bytes) -> None:
        fields = head.lower()
        self._succeeds = fields.startswith(b"http/1.1 200")
        self._chunked = b"transfer-encoding: chunked" in fields
        if not self._chunked:
            self._left = int(fields.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])

    def _read_body(self, data: bytes) -> None:
        if self._chunked:
            data = self._tail + data
            events = data.count(EVENT)
            if events and self._first:
                self._first = False
                self._figures.first_events.append(time.perf_counter() - self._sent)
            self._figures.events += events
            self._tail = data[-_KEPT:]
            if self._tail == END_OF_CHUNKS:
                self._done()
        else:
            self._left -= len(data)
            if self._left <= 0:
                self._done()

    def _done(self) -> None:
        if self._succeeds:
            self._figures.latencies.append(time.perf_counter() - self._sent)
        else:
            self._figures.failures += 1
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waits:
            self._figures.failures += 1
        if not self.finished.done():
            self.finished.set_result(None)


async def run(target: Target, *, clients: int, stint: Stint, patience_s: float = 60) -> Figures:
    """Load ``target`` with so many clients, each for a stint, and return what was seen.

    Args:
        patience_s: how long the last answers may take once the stint's time is over; what is missing then is a failure.
    """
    figures = Figures()
    loop = asyncio.get_running_loop()
    begun = time.perf_counter()
    made = [
        await loop.create_connection(lambda: _Client(target, figures, stint), target.host, target.port)
        for _ in range(clients)
    ]
    limit_s = patience_s + (stint.seconds if math.isfinite(stint.seconds) else 0)
    await asyncio.wait([client.finished for _, client in made], timeout=limit_s)
    figures.seconds = time.perf_counter() - begun
    for transport, client in made:
        if not client.finished.done():
            transport.abort()  # connection_lost counts it
    await asyncio.wait([client.finished for _, client in made])
    return figures
