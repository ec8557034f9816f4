"""``/v1/embeddings``: parse, encode, answer."""

import asyncio
import base64
from itertools import chain
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from torch import Tensor

from engines.base import Used
from engines.transformers.app import BROKEN, Json, json_response, unless_gone
from engines.transformers.batcher import Batcher, EncodingError
from engines.transformers.body import UNSUPPORTED, RequestError, Strict, check_model, check_tokens, parse
from engines.transformers.encoder import Encoder
from engines.transformers.tokenizer import Tokenizer
from engines.used import count_with

Tokens = Annotated[list[int], Field(min_length=1)]
Inputs = Field(min_length=1, max_length=2048)


class EmbeddingBody(Strict):
    """The body of ``POST /v1/embeddings``."""

    model: str | None = None
    input: (
        Annotated[str, Field(min_length=1)]
        | Annotated[list[Annotated[str, Field(min_length=1)]], Inputs]
        | Tokens
        | Annotated[list[Tokens], Inputs]
    )
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: int | None = Field(default=None, ge=1)
    user: str | None = None

    def inputs(self) -> list[str | list[int]]:
        """Return one or more inputs, each a text or token ids."""
        given: Any = self.input
        return [given] if isinstance(given, str) or isinstance(given[0], int) else given


class Embedding:
    """Knows the model's name, words and bounds."""

    def __init__(
        self, model: str, tokenizer: Tokenizer, encoder: Encoder, batcher: Batcher, *, max_model_len: int
    ) -> None:
        """Prepare for requests.

        Args:
            model: the name that clients know.
            tokenizer: the model's.
            encoder: says what the model can do.
            batcher: computes with it.
            max_model_len: tokens that an input may have.
        """
        self._model = model
        self._tokenizer = tokenizer
        self._encoder = encoder
        self._batcher = batcher
        self._max_model_len = max_model_len

    def routes(self) -> list[Route]:
        """Return the route."""
        return [Route("/v1/embeddings", self._embeddings, methods=["POST"])]

    async def _embeddings(self, request: Request) -> Response:
        body = parse(EmbeddingBody, await request.body())
        check_model(body.model, self._model)
        self._check_width(body.dimensions)
        texts = await asyncio.to_thread(self._texts, body.inputs())
        count_with(lambda: Used(prompt_tokens=sum(map(len, texts))))
        return await unless_gone(request, self._answer(body, texts))

    async def _answer(self, body: EmbeddingBody, texts: list[tuple[int, ...]]) -> Response:
        try:
            vectors = await self._batcher.encode(texts, body.dimensions)
        except EncodingError:
            return json_response({"error": BROKEN}, status=500)
        write = as_base64 if body.encoding_format == "base64" else Tensor.tolist
        data: list[Json] = [
            {"object": "embedding", "index": index, "embedding": write(vector)} for index, vector in enumerate(vectors)
        ]
        tokens = sum(map(len, texts))
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return json_response({"object": "list", "data": data, "model": self._model, "usage": usage})

    def _check_width(self, width: int | None) -> None:
        """Refuse ``dimensions`` that the model was not trained for; cut vectors of any other model mean nothing."""
        if width is None:
            return
        if not self._encoder.truncatable:
            message = "Unsupported parameter: 'dimensions'. This model's embeddings have one size."
            raise RequestError(message, code=UNSUPPORTED, param="dimensions")
        if width > self._encoder.width or width not in (self._encoder.widths or [width]):
            message = f"Invalid value for 'dimensions': this model knows {self._encoder.widths or self._encoder.width}."
            raise RequestError(message, code="invalid_value", param="dimensions")

    def _texts(self, inputs: list[str | list[int]]) -> list[tuple[int, ...]]:
        """Return the inputs' tokens.

        Raises:
            RequestError: when one of them is too long, or holds an unknown token.
        """
        texts = [self._tokenizer.encode(given) if isinstance(given, str) else tuple(given) for given in inputs]
        check_tokens(chain.from_iterable(texts), self._encoder.vocabulary_size, "input")
        if (longest := max(map(len, texts))) > self._max_model_len:
            raise RequestError(
                f"This model's maximum context length is {self._max_model_len} tokens. However, your input resulted in "
                f"{longest} tokens. Please reduce the length of the input. (context_length_exceeded)",
                code="context_length_exceeded",
                param="input",
            )
        return texts


def as_base64(vector: Tensor) -> str:
    """Return a vector as the SDKs ask for it: little-endian float32, in base64."""
    return base64.b64encode(vector.numpy().astype("<f4").tobytes()).decode()
