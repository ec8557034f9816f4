"""``POST /tokenize`` and ``POST /detokenize``, in vLLM's form: a model's own tokenizer, for who has its key."""

from typing import Annotated, Any

from pydantic import Field

from gateway import paths
from gateway.config.settings import Bounds
from gateway.endpoints.call import Call
from gateway.endpoints.closed import Closed, Flag, Object, checked, forwarded
from gateway.endpoints.completions import Token
from gateway.endpoints.fields import Model, Tools, check_tools
from gateway.endpoints.pooled import UNCOUNTED
from gateway.http import errors


class TokenizeBody(Closed):
    """A text or a conversation, and vLLM's own ways to read it."""

    model: Model | None = None
    prompt: str | None = None
    messages: Annotated[list[dict[str, Any]], Field(min_length=1)] | None = None
    tools: Tools = None
    add_special_tokens: Flag = None
    add_generation_prompt: Flag = None
    continue_final_message: Flag = None
    return_token_strs: Flag = None
    chat_template_kwargs: Object = None


class DetokenizeBody(Closed):
    """Token ids."""

    model: Model | None = None
    tokens: list[Token]


def parse_tokenize(payload: dict[str, Any], bounds: Bounds) -> Call:
    """Return the call that a tokenize request is.

    Raises:
        ApiError: 400, naming the field as a dotted path.
    """
    body = checked(TokenizeBody, payload, bounds)
    if (body.prompt is None) == (body.messages is None):
        raise errors.invalid_value("prompt", "Give either 'prompt' or 'messages'.")
    if body.messages and len(body.messages) > bounds.max_messages:
        raise errors.invalid_value("messages", f"'messages' has more than {bounds.max_messages} entries.")
    check_tools(body.tools, bounds)
    sent = forwarded(TokenizeBody, payload)
    return Call(path=paths.TOKENIZE, form=UNCOUNTED, model=body.model, payload=sent, max_tokens=0)


def parse_detokenize(payload: dict[str, Any], bounds: Bounds) -> Call:
    """Return the call that a detokenize request is.

    Raises:
        ApiError: 400, naming the field as a dotted path.
    """
    body = checked(DetokenizeBody, payload, bounds)
    sent = forwarded(DetokenizeBody, payload)
    return Call(path=paths.DETOKENIZE, form=UNCOUNTED, model=body.model, payload=sent, max_tokens=0)
