"""Gateway replicas in simulated time: the real limiter and coordinator, with a clock that the test turns."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from auth.keys import Key
from auth.leases import Coordinator, Reply, Report
from auth.limiter import REPORT_S, Limiter
from auth.limits import Limit
from auth.projects import Project
from auth.rejection import Rejected
from auth.reservation import Reservation
from auth.usage import Usage

WALL_START = 1_790_000_000.0


def key_with(*limits: Limit, key_id: str = "key_1") -> Key:
    return Key(key_id, "test", "default", "sk-", bytes(32), ("inference",), ("*",), limits, 0.0)


def project_with(*limits: Limit) -> Project:
    return Project("default", "default", limits, 0.0)


@dataclass
class World:
    """Some replicas and their coordinator; ``alive`` turned off, the coordinator answers nobody.

    Nor does it answer those replicas that are ``silent``. Those in ``busy_until`` do not report before that time;
    until ``slow_until`` the coordinator takes too long for an answer.
    """

    replicas: int = 1
    now: float = 1000.0
    alive: bool = True
    coordinator: Coordinator = field(default_factory=Coordinator)
    limiters: list[Limiter] = field(init=False)
    skew: float = 0.0
    silent: set[str] = field(default_factory=set)
    slow_until: float = 0.0
    busy_until: dict[Limiter, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.limiters = [
            Limiter(self, f"replica-{number}", self.clock, lambda: WALL_START + self.now + self.skew, self.pass_time)
            for number in range(self.replicas)
        ]

    def clock(self) -> float:
        return self.now

    async def report(self, report: Report) -> Reply:
        if not self.alive or report.replica in self.silent:
            raise ConnectionError
        if self.now < self.slow_until:
            raise TimeoutError
        return self.coordinator.report(report, self.now)

    async def pass_time(self, seconds: float) -> None:
        """Let the replicas report as they do, until the time is over."""
        for _ in range(max(1, round(seconds / REPORT_S))):
            self.now += REPORT_S
            for limiter in self.limiters:
                if self.now >= self.busy_until.get(limiter, 0):
                    await limiter.report()


async def admitted(reservation: Reservation) -> bool:
    try:
        await reservation.__aenter__()
    except Rejected:
        return False
    return True


def most_in_a_minute(events: Iterable[tuple[float, float]]) -> float:
    """The reference: the largest sum of amounts within any 60 seconds; events are (time, amount), in order."""
    events = list(events)
    most = total = 0.0
    first = 0
    for time_s, amount in events:
        total += amount
        while events[first][0] <= time_s - 60:
            total -= events[first][1]
            first += 1
        most = max(most, total)
    return most


ONE = Usage(1, 0)
