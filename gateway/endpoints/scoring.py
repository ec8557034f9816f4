"""``POST /v1/rerank`` (Cohere's and Jina's form) and ``POST /v1/score`` (vLLM's)."""

from typing import Annotated, Any

from pydantic import Field

from gateway import paths
from gateway.config.settings import Bounds
from gateway.endpoints.call import Call, Prompt
from gateway.endpoints.fields import Model, Strict, checked
from gateway.endpoints.pooled import POOLED
from gateway.http import errors

_TWO_SIDES = [("text_1", "text_2"), ("queries", "documents"), ("queries", "items"), ("data_1", "data_2")]
"""The names that vLLM knows for the two sides of a score."""

Texts = Annotated[list[str], Field(min_length=1)]


class RerankBody(Strict):
    """The fields that Raygate itself checks."""

    model: Model | None = None
    query: str = Field(min_length=1)
    documents: Texts
    top_n: int | None = Field(default=None, ge=0)
    user: str | None = Field(default=None, max_length=512)


class ScoreBody(Strict):
    """The fields that Raygate itself checks; the two sides have several names."""

    model: Model | None = None
    user: str | None = Field(default=None, max_length=512)


def parse_rerank(payload: dict[str, Any], bounds: Bounds) -> Call:
    """Return the call that a rerank request is.

    Raises:
        ApiError: 400, naming the field as a dotted path.
    """
    body = checked(RerankBody, payload)
    _check_count("documents", len(body.documents), bounds)
    # The engine reads the query beside every document.
    prompt = Prompt(texts=(*body.documents, *[body.query] * len(body.documents)))
    return Call(
        path=paths.RERANK, form=POOLED, model=body.model, payload=payload, prompt=prompt, max_tokens=0, user=body.user
    )


def parse_score(payload: dict[str, Any], bounds: Bounds) -> Call:
    """Return the call that a score request is.

    Raises:
        ApiError: 400, naming the field as a dotted path.
    """
    body = checked(ScoreBody, payload)
    names = next((pair for pair in _TWO_SIDES if set(pair) <= payload.keys()), None)
    if names is None:
        raise errors.missing_parameter("text_1")
    sides = [payload[name] if isinstance(payload[name], list) else [payload[name]] for name in names]
    for name, side in zip(names, sides, strict=True):
        if not side or not all(isinstance(text, str) for text in side):
            raise errors.invalid_value(name, f"Invalid value for '{name}': it must be a text or a list of texts.")
        _check_count(name, len(side), bounds)
    pairs = max(map(len, sides))
    # A single text is read beside each of the others.
    texts = [text for side in sides for text in (side * pairs if len(side) == 1 else side)]
    return Call(
        path=paths.SCORE,
        form=POOLED,
        model=body.model,
        payload=payload,
        prompt=Prompt(texts=tuple(texts)),
        max_tokens=0,
        user=body.user,
    )


def _check_count(name: str, count: int, bounds: Bounds) -> None:
    if count > bounds.max_inputs:
        raise errors.invalid_value(name, f"'{name}' has more than {bounds.max_inputs} entries.")
