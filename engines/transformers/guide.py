"""What a choice may say next, when its text has to follow a grammar."""

import time
from typing import Literal

from llguidance import LLMatcher

BURST_S = 0.5
STEP_S = 0.005
"""CPU time that the masks of one choice may cost: so much at first, and so much more with each token."""


class Guide:
    """One choice's place in its grammar. The scheduler's thread alone uses it."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher
        self._allowance = BURST_S

    def mask(self) -> bytes:
        """Return the tokens that may come next, a bit each, the lowest bit of the first byte first."""
        begun = time.thread_time()
        mask = self._matcher.compute_bitmask()
        self._allowance += STEP_S - (time.thread_time() - begun)
        return mask

    def follow(self, token: int) -> Literal["stop", "length"] | None:
        """Take the token that came; return why nothing may come after it, if so.

        ``stop``: the text is complete. ``length``: it is not, but the grammar cannot go on within its bounds.
        """
        if not self._matcher.consume_token(token) or self._matcher.is_error() or self._allowance < 0:
            return "length"
        return "stop" if self._matcher.is_stopped() else None
