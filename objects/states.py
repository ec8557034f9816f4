"""The states of a batch, as OpenAI's API has them::

validating -> in_progress -> finalizing -> completed, failed (its key was revoked), expired
    |              |               `-> cancelling
    |              `-> cancelling -> cancelled
    `-> failed (a line is not right), cancelling, expired
"""

from typing import Literal

State = Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]
Ended = Literal["completed", "failed", "expired", "cancelled"]

ACTIVE: tuple[State, ...] = ("validating", "in_progress", "cancelling", "finalizing")
"""The states that somebody has to bring to an end."""

CANCELLABLE: tuple[State, ...] = ("validating", "in_progress", "finalizing")
