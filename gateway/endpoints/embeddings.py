"""``POST /v1/embeddings``: fields as in OpenAI's API reference."""

from typing import Annotated, Any, Literal

from pydantic import Field

from gateway import paths
from gateway.config.settings import Bounds
from gateway.endpoints.call import Call
from gateway.endpoints.closed import EXTENSION, Closed, Engines, Flag, checked, forwarded
from gateway.endpoints.completions import Texts, Tokens, prompts_of
from gateway.endpoints.fields import Model, User
from gateway.endpoints.pooled import EMBEDDED
from gateway.http import errors


class EmbeddingBody(Closed):
    """The fields of a request for embeddings: all that it may have."""

    model: Model | None = None
    input: str | Texts | Tokens | Annotated[list[Tokens], Field(min_length=1)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(default=None, ge=1, le=65536)
    user: User | None = None
    truncate_prompt_tokens: Annotated[int | None, Field(ge=-1, le=2**31), EXTENSION] = None
    truncation_side: Engines = None
    add_special_tokens: Flag = None
    use_activation: Flag = None


def parse_embedding(payload: dict[str, Any], bounds: Bounds) -> Call:
    """Return the call that an embedding request is.

    Raises:
        ApiError: 400, naming the field as a dotted path.
    """
    body = checked(EmbeddingBody, payload, bounds)
    inputs, prompt = prompts_of(body.input)
    if inputs > bounds.max_inputs:
        raise errors.invalid_value("input", f"'input' has more than {bounds.max_inputs} entries.")
    if "" in prompt.texts:
        raise errors.invalid_value("input", "'input' must not be, or hold, an empty string.")
    return Call(
        path=paths.EMBEDDINGS,
        form=EMBEDDED,
        model=body.model,
        payload=forwarded(EmbeddingBody, payload),
        prompt=prompt,
        prompt_field="input",
        max_tokens=0,
        user=body.user,
    )
