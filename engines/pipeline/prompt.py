"""What retrieval-augmented chat makes of passages: a prompt before the answer, a list of sources behind it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from engines.pipeline.chat import Citation, Delta, Message
from objects.passages import Passage

_INSTRUCTION = (
    "Answer the question from the passages below. If they do not hold the answer, say that you do not know.\n\n"
    "{passages}\n\nQuestion: "
)
_NOTHING_FOUND = "No document has anything on the question below: say so, and do not guess.\n\nQuestion: "


@dataclass(frozen=True)
class Cited:
    """A passage, and the number of its document; passages of one document share it."""

    number: int
    passage: Passage


def within(passages: Iterable[Passage], characters: int) -> list[Cited]:
    """Return the first passages whose texts have room together, numbered by document from 1.

    Args:
        passages: the most important first.
        characters: of all texts; of a first passage that is longer, the beginning is taken.
    """
    cited: list[Cited] = []
    numbers: dict[str, int] = {}
    for passage in passages:
        text = passage.text if cited else passage.text[:characters]
        characters -= len(text)
        if characters < 0:
            break
        number = numbers.setdefault(passage.source, len(numbers) + 1)
        cited.append(Cited(number, Passage(passage.source, passage.ordinal, text, b"")))
    return cited


def augmented(messages: Sequence[Message], cited: Sequence[Cited]) -> list[Message]:
    """Return the conversation with the passages in its last question.

    They go there and not into a system message: the client may have one of its own, and chat templates take only one.
    """
    shown = "\n\n".join(f"[{each.number}] {each.passage.source}\n{each.passage.text}" for each in cited)
    before = _INSTRUCTION.replace("{passages}", shown) if cited else _NOTHING_FOUND
    last = max(place for place, message in enumerate(messages) if message.get("role") == "user")
    question = messages[last]
    return [*messages[:last], {**question, "content": _prefixed(before, question["content"])}, *messages[last + 1 :]]


def _prefixed(text: str, content: Any) -> Any:
    if isinstance(content, str):
        return text + content
    return [{"type": "text", "text": text}, *content]


def sources(cited: Sequence[Cited]) -> Delta:
    """Return the end of an answer, which names the documents that it was made from."""
    documents = {each.passage.source: each.number for each in cited}
    text, citations = "\n\nSources: ", []
    for source, number in documents.items():
        named = f"[{number}] {source}"
        citations.append(Citation(len(text), len(text) + len(named), source, source))
        text += f"{named}, "
    return Delta(text.removesuffix(", "), citations=citations)
