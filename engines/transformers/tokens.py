"""``/tokenize`` and ``/detokenize``, in vLLM's form."""

import asyncio
from typing import Annotated, Any

from pydantic import Field, model_validator
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engines.transformers.app import json_response
from engines.transformers.body import RequestError, Strict, check_model, check_tokens, only, parse
from engines.transformers.messages import Message
from engines.transformers.tokenizer import TemplateRefusal, Tokenizer
from engines.transformers.tools import Tool


class TokenizeBody(Strict):
    """A text or a conversation; a text gets the model's special tokens unless ``add_special_tokens`` is false."""

    model: str | None = None
    prompt: str | None = None
    add_special_tokens: bool | None = None
    messages: Annotated[list[Message], Field(min_length=1)] | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    add_generation_prompt: bool = True
    continue_final_message: Annotated[Any, only(False)] = None
    return_token_strs: bool | None = False

    @model_validator(mode="after")
    def _either(self) -> "TokenizeBody":
        if (self.prompt is None) == (self.messages is None):
            raise RequestError("Give either 'prompt' or 'messages'.", code="invalid_value", param="prompt")
        if self.messages and self.add_special_tokens:
            message = "A conversation's special tokens are its chat template's."
            raise RequestError(message, code="invalid_value", param="add_special_tokens")
        return self

    def tokens(self, tokenizer: Tokenizer) -> tuple[int, ...]:
        """Return what a model would read.

        Raises:
            RequestError: when the model takes no conversations, or not this one.
        """
        if self.prompt is not None:
            return tokenizer.encode(self.prompt, special=self.add_special_tokens is not False)
        messages = [message.for_template() for message in self.messages or ()]
        tools = [tool.for_template() for tool in self.tools or ()]
        try:
            return tokenizer.chat(messages, tools, speaks=self.add_generation_prompt)
        except TemplateRefusal as refusal:
            raise RequestError(str(refusal), code=None, param="messages") from None


class DetokenizeBody(Strict):
    """Token ids."""

    model: str | None = None
    tokens: list[int]


def tokens(model: str, tokenizer: Tokenizer, *, max_model_len: int, vocabulary_size: int) -> list[Route]:
    """Return the routes.

    Args:
        model: the name that clients know.
        tokenizer: the model's.
        max_model_len: tokens that the model takes, told with each answer.
        vocabulary_size: one more than the highest token id.
    """

    async def tokenize(request: Request) -> Response:
        body = parse(TokenizeBody, await request.body())
        check_model(body.model, model)
        found = await asyncio.to_thread(body.tokens, tokenizer)
        names = tokenizer.names(found) if body.return_token_strs else None
        return json_response(
            {"count": len(found), "max_model_len": max_model_len, "tokens": found, "token_strs": names}
        )

    async def detokenize(request: Request) -> Response:
        body = parse(DetokenizeBody, await request.body())
        check_model(body.model, model)
        check_tokens(body.tokens, vocabulary_size, "tokens")
        return json_response({"prompt": await asyncio.to_thread(tokenizer.decode, body.tokens, special=True)})

    return [
        Route("/tokenize", tokenize, methods=["POST"]),
        Route("/detokenize", detokenize, methods=["POST"]),
    ]
