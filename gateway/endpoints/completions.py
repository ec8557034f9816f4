"""``POST /v1/completions``: fields as in OpenAI's API reference."""

from typing import Annotated, Any

from pydantic import Field

from gateway import paths
from gateway.answers import mend
from gateway.answers.choices import ChoicesStream
from gateway.answers.relay import usage_of
from gateway.config.settings import Bounds
from gateway.endpoints.call import Call, Prompt, Whole, texts_of
from gateway.endpoints.closed import checked, forwarded
from gateway.endpoints.fields import Sampled, check_sampled, with_usage
from gateway.http import errors

DEFAULT_MAX_TOKENS = 16
"""OpenAI's own."""

Token = Annotated[int, Field(ge=0, lt=2**31)]
Tokens = Annotated[list[Token], Field(min_length=1)]
Texts = Annotated[list[str], Field(min_length=1)]


class CompletionBody(Sampled):
    """The fields of a completion: all that it may have."""

    prompt: str | Texts | Tokens | Annotated[list[Tokens], Field(min_length=1)]
    echo: bool | None = None
    logprobs: int | None = Field(default=None, ge=0, le=20)
    suffix: str | None = None
    best_of: int | None = Field(default=None, ge=1)


class CompletionForm:
    """A ``text_completion``, whole or as a stream of the same."""

    salted = True

    def whole(self, answer: dict[str, Any]) -> Whole:
        """Read an answer that came whole."""
        choices = answer.get("choices") or [{}]
        said = (text for choice in choices for text in texts_of(choice.get("text")))
        return Whole(mend.completion(answer), usage_of(answer), choices[-1].get("finish_reason"), said)

    def stream(self, call: Call) -> ChoicesStream:
        """Return the reader of a streamed answer."""
        return ChoicesStream(call.include_usage)


def parse_completion(payload: dict[str, Any], bounds: Bounds) -> Call:
    """Return the call that a completion request is.

    Raises:
        ApiError: 400, naming the field as a dotted path.
    """
    body = checked(CompletionBody, payload, bounds)
    check_sampled(body, bounds)
    if body.suffix:
        raise errors.unsupported_parameter("suffix", "No model here fills in the middle of a text.")
    if body.best_of not in (None, body.n or 1):
        raise errors.unsupported_parameter("best_of", "Ask for several completions with 'n'.")
    prompts, prompt = prompts_of(body.prompt)
    choices = prompts * (body.n or 1)
    if choices > bounds.max_choices:
        raise errors.invalid_value("prompt", f"Prompts times 'n' come to more than {bounds.max_choices} completions.")
    # Said to the engine as well: a server elsewhere may have another default, or none.
    sent = {"max_tokens": DEFAULT_MAX_TOKENS, **with_usage(forwarded(CompletionBody, payload))}
    return Call(
        path=paths.COMPLETIONS,
        form=CompletionForm(),
        model=body.model,
        payload=sent,
        prompt=prompt,
        prompt_field="prompt",
        stream=bool(body.stream),
        include_usage=body.include_usage,
        max_tokens=sent["max_tokens"],
        choices=choices,
        user=body.user,
    )


def prompts_of(given: str | list[Any]) -> tuple[int, Prompt]:
    """Return how many prompts are given as a text, texts, token ids or lists of token ids; and what they hold."""
    if isinstance(given, str):
        return 1, Prompt(texts=(given,))
    if isinstance(given[0], str):
        return len(given), Prompt(texts=tuple(given))
    if isinstance(given[0], int):
        return 1, Prompt(tokens=len(given))
    return len(given), Prompt(tokens=sum(map(len, given)))
