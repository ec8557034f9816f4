"""The form of answers that generate nothing: embeddings, scores, token ids."""

from dataclasses import dataclass
from typing import Any, NoReturn

from auth.usage import NOTHING
from gateway import mend
from gateway.call import Call, Whole
from gateway.relay import usage_of


@dataclass(frozen=True)
class PooledForm:
    """An answer that always comes whole.

    Attributes:
        counted: whether the engine computes with the prompt, and so tells its tokens.
    """

    counted: bool
    salted = False

    def whole(self, answer: dict[str, Any]) -> Whole:
        """Read an answer that came whole."""
        usage = usage_of(answer) if self.counted else NOTHING
        return Whole(mend.pooled(answer), usage)

    def stream(self, call: Call) -> NoReturn:
        """Never asked: no such call streams."""
        raise NotImplementedError(f"{call.path} does not stream")


POOLED = PooledForm(counted=True)
UNCOUNTED = PooledForm(counted=False)
