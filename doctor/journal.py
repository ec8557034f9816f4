"""What a server has generated during an examination, each answer held against the published schema as it comes."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from doctor.schema import examine


class Journal:
    """Counts answers by kind, what is wrong with them, and what they have beyond the schema."""

    def __init__(self) -> None:
        self._answers: Counter[str] = Counter()
        self._wrong: dict[str, Counter[str]] = {}
        self._extra: dict[str, Counter[str]] = {}

    def note(self, kind: str, answer: dict[str, Any]) -> None:
        """Hold one answer against the schema of its kind."""
        self._answers[kind] += 1
        wrong, extra = examine(kind, answer)
        self._wrong.setdefault(kind, Counter()).update(wrong)
        self._extra.setdefault(kind, Counter()).update(extra)

    def answers(self, kind: str) -> int:
        """Return how many answers of that kind there were."""
        return self._answers[kind]

    def wrong(self, kind: str) -> Mapping[str, int]:
        """Return what was wrong with answers of that kind, and how often."""
        return self._wrong.get(kind, {})

    def extras(self) -> list[str]:
        """Return what generated answers have beyond the schema; a model may be described by more than that."""
        found = {kind: paths for kind, paths in self._extra.items() if kind != "model"}
        return sorted(f"{kind}: {path}" for kind, paths in found.items() for path in paths)
