"""Runs checks against a server: some at a time, each within its time."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import aiohttp

from doctor.check import Capability, Check
from doctor.server import Server
from doctor.survey import survey
from doctor.verdict import Failed, NotApplicable

Outcome = Literal["passed", "failed", "absent", "not applicable", "error"]
"""``absent``: an extra that the server does not have. ``error``: the check could not be run to its end."""


@dataclass(frozen=True)
class Result:
    """What came of one check, and why."""

    check: Check
    outcome: Outcome
    reason: str = ""

    @property
    def is_bad(self) -> bool:
        """Whether the server broke the contract, or kept the check from finding out."""
        return self.outcome in ("failed", "error")


async def examine(server: Server, checks: Sequence[Check], *, concurrency: int, timeout_s: float) -> list[Result]:
    """Return the result of each check, in their order.

    Args:
        server: whom to ask.
        checks: what to ask.
        concurrency: how many run at a time.
        timeout_s: how long one may take.

    Raises:
        NotServed: the server does not know the key, or the model.
        aiohttp.ClientError: nobody answers.
    """
    lacks = await survey(server)
    slots = asyncio.Semaphore(concurrency)

    async def examined(check: Check) -> Result:
        async with slots:
            return await _result(server, check, lacks, timeout_s)

    first = await asyncio.gather(*(examined(check) for check in checks if not check.last))
    last = await asyncio.gather(*(examined(check) for check in checks if check.last))
    found = {result.check: result for result in (*first, *last)}
    return [found[check] for check in checks]


async def _result(server: Server, check: Check, lacks: Mapping[Capability, str], timeout_s: float) -> Result:
    for capability in check.needs:
        if said := lacks.get(capability):
            return Result(check, "not applicable", f"no {capability}: {said}")
    try:
        async with asyncio.timeout(timeout_s):
            await check.run(server)
    except Exception as error:
        outcome, reason = _told(check, error, timeout_s)
        return Result(check, outcome, reason)
    return Result(check, "passed")


def _told(check: Check, error: Exception, timeout_s: float) -> tuple[Outcome, str]:
    """Return what an exception says of the server."""
    match error:
        case NotApplicable():
            return "not applicable", str(error)
        case TimeoutError():
            return "error", f"no end within {timeout_s:g} s"
        case aiohttp.ClientError():
            return "error", f"{type(error).__name__}: {error}"
        case Failed():
            reason = str(error)
        case _:
            # A check reads answers as the API documents them: what it does not find there is not there.
            reason = f"the answer has another shape: {type(error).__name__}: {error}"
    return "absent" if check.extra else "failed", reason
