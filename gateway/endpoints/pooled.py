"""The form of answers that generate nothing: embeddings, scores, token ids."""

from dataclasses import dataclass
from typing import Any, NoReturn

from auth.usage import NOTHING
from gateway.answers import mend
from gateway.answers.relay import usage_of
from gateway.endpoints.call import Call, Whole


@dataclass(frozen=True)
class PooledForm:
    """An answer that always comes whole.

    Attributes:
        counted: whether the engine computes with the prompt, and so tells its tokens.
        foreign: fields of the engine's answer that the API's does not have.
        salted: see ``Form``.
    """

    counted: bool
    foreign: frozenset[str] = frozenset()
    salted: bool = True

    def whole(self, answer: dict[str, Any]) -> Whole:
        """Read an answer that came whole."""
        usage = usage_of(answer) if self.counted else NOTHING
        own = {name: value for name, value in answer.items() if name not in self.foreign}
        return Whole(mend.pooled(own), usage)

    def stream(self, call: Call) -> NoReturn:
        """Never asked: no such call streams."""
        raise NotImplementedError(f"{call.path} does not stream")


EMBEDDED = PooledForm(counted=True, foreign=frozenset({"id", "created"}))
POOLED = PooledForm(counted=True)
UNCOUNTED = PooledForm(counted=False, salted=False)
