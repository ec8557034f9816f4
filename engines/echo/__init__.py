"""Deterministic and instant: for load tests, fault tests and capacity planning.

It streams ``max_tokens`` tokens (64 by default), one event each, as fast as it can or at a configured pace. A token is
a word of the last message or of the prompt, over and over; a prompt token is a word of what was sent. Embedded, a text
is a unit vector that depends on its words alone.
"""

from typing import Any

from ray.serve import Application

from engines.echo.engine import EchoEngine
from engines.replica import application


def build(args: dict[str, Any]) -> Application:
    """Return the Serve application of one echo model; see :func:`engines.replica.application`."""
    return application(EchoEngine, args)
