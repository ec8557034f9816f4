"""``POST /v1/rerank`` (Cohere's and Jina's form) and ``POST /v1/score`` (vLLM's)."""

from typing import Annotated, Any

from pydantic import Field

from gateway import paths
from gateway.config.settings import Bounds
from gateway.endpoints.call import Call, Prompt
from gateway.endpoints.closed import EXTENSION, Closed, Engines, Flag, Object, checked, forwarded
from gateway.endpoints.fields import Model, User
from gateway.endpoints.pooled import POOLED
from gateway.http import errors

_TWO_SIDES = [("text_1", "text_2"), ("queries", "documents"), ("queries", "items"), ("data_1", "data_2")]
"""The names that vLLM knows for the two sides of a score."""

_SIDES = frozenset(name for pair in _TWO_SIDES for name in pair)

Texts = Annotated[list[str], Field(min_length=1)]


class Scoring(Closed):
    """What both endpoints have, vLLM's own among it."""

    model: Model | None = None
    user: User | None = None
    truncate_prompt_tokens: Annotated[int | None, Field(ge=-1, le=2**31), EXTENSION] = None
    truncation_side: Engines = None
    use_activation: Flag = None
    max_tokens_per_query: Annotated[int | None, Field(ge=0, le=2**31), EXTENSION] = None
    max_tokens_per_doc: Annotated[int | None, Field(ge=0, le=2**31), EXTENSION] = None
    instruction: Annotated[str | None, EXTENSION] = None
    chat_template_kwargs: Object = None


class RerankBody(Scoring):
    """The fields of a ranking: all that it may have."""

    query: str = Field(min_length=1)
    documents: Texts
    top_n: int | None = Field(default=None, ge=0)


class ScoreBody(Scoring):
    """The fields of a score: all that it may have. The two sides have several names."""

    text_1: Any = None
    text_2: Any = None
    queries: Any = None
    documents: Any = None
    items: Any = None
    data_1: Any = None
    data_2: Any = None


def parse_rerank(payload: dict[str, Any], bounds: Bounds) -> Call:
    """Return the call that a rerank request is.

    Raises:
        ApiError: 400, naming the field as a dotted path.
    """
    body = checked(RerankBody, payload, bounds)
    _check_count("documents", len(body.documents), bounds)
    # The engine reads the query beside every document.
    asked = [text for text in (body.query, body.instruction) if text]
    return Call(
        path=paths.RERANK,
        form=POOLED,
        model=body.model,
        payload=forwarded(RerankBody, payload),
        prompt=Prompt(texts=(*body.documents, *asked * len(body.documents))),
        max_tokens=0,
        user=body.user,
    )


def parse_score(payload: dict[str, Any], bounds: Bounds) -> Call:
    """Return the call that a score request is.

    Raises:
        ApiError: 400, naming the field as a dotted path.
    """
    body = checked(ScoreBody, payload, bounds)
    sent = forwarded(ScoreBody, payload)
    given = sorted(sent.keys() & _SIDES)
    names = next((pair for pair in _TWO_SIDES if set(pair) <= sent.keys()), None)
    if names is None:
        raise errors.missing_parameter("text_1")
    if len(given) > len(names):
        stray = next(name for name in given if name not in names)
        raise errors.invalid_value(stray, f"Give either '{stray}' or '{names[0]}' and '{names[1]}'.")
    sides = [sent[name] if isinstance(sent[name], list) else [sent[name]] for name in names]
    for name, side in zip(names, sides, strict=True):
        if not side or not all(isinstance(text, str) for text in side):
            raise errors.invalid_value(name, f"Invalid value for '{name}': it must be a text or a list of texts.")
        _check_count(name, len(side), bounds)
    pairs = max(map(len, sides))
    # A single text is read beside each of the others.
    texts = [text for side in sides for text in (side * pairs if len(side) == 1 else side)]
    told = [body.instruction] * pairs if body.instruction else []
    return Call(
        path=paths.SCORE,
        form=POOLED,
        model=body.model,
        payload=sent,
        prompt=Prompt(texts=(*texts, *told)),
        max_tokens=0,
        user=body.user,
    )


def _check_count(name: str, count: int, bounds: Bounds) -> None:
    if count > bounds.max_inputs:
        raise errors.invalid_value(name, f"'{name}' has more than {bounds.max_inputs} entries.")
