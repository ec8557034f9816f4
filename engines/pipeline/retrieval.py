"""Retrieval-augmented chat: answers from documents, and names them.

The question is embedded, the nearest passages are looked up, and the chat model is asked with them in the prompt.
``raygate index`` fills the table of passages.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import SQLAlchemyError

from engines.base import EngineSettings, EngineStartError, application_name
from engines.pipeline.base import Pipeline
from engines.pipeline.chat import ChatRequest, Delta
from engines.pipeline.errors import ApiError
from engines.pipeline.models import Models
from engines.pipeline.nearest import Found, Neighbours
from engines.pipeline.prompt import augmented, sources, within
from objects.passages import Passages, Version, index_url, open_passages

REFRESH_S = 1.0
"""How soon a change of the index is noticed, by the next question."""

_RELOAD_SHARE = 20
"""While documents are being indexed, a twentieth of the time at most goes into reading them again."""

_SHORTEST_QUESTION = 32

_log = logging.getLogger("ray.serve")


class RetrievalModels(BaseModel):
    """The models that are asked.

    Attributes:
        chat: writes the answer.
        embed: embeds the question, and has embedded the passages.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    chat: str
    embed: str


class RetrievalArgs(BaseModel):
    """The ``engine_args`` of retrieval-augmented chat.

    Attributes:
        class_path, otlp_endpoint: as every pipeline has them.
        models: which models are asked.
        index: where the passages are: a file, relative to ``RAYGATE_HOME``, or a PostgreSQL URL.
        passages: how many go into the prompt at most.
        min_score: what a passage's cosine must be for it to matter.
        context_characters: what they may have together.
        passage_characters, overlap_characters: how ``raygate index`` splits documents.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    class_path: str = Field(alias="class")
    models: RetrievalModels
    otlp_endpoint: str | None = None
    index: str | None = None
    passages: int = Field(default=4, ge=1, le=100)
    min_score: float = Field(default=0.2, ge=-1, le=1)
    context_characters: int = Field(default=4000, ge=100)
    passage_characters: int = Field(default=800, ge=100, le=20_000)
    overlap_characters: int = Field(default=200, ge=0, le=5_000)


class Retrieval(Pipeline):
    """Answers from the passages of an index."""

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        self._args = RetrievalArgs.model_validate(settings.engine_args)
        self._stack = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Open the index and read it; an empty one will do, since documents may come later."""
        try:
            url = index_url(self._args.index, application_name(self.settings.model), self.settings.home)
            table = await self._stack.enter_async_context(open_passages(url))
            self._index = Index(table, self._args.models.embed)
            await self._index.refresh()
        except (OSError, SQLAlchemyError, ValueError) as error:
            raise EngineStartError(f"index: {type(error).__name__}: {str(error).splitlines()[0]}") from None

    async def stop(self) -> None:
        """Close the index."""
        await self._stack.aclose()

    async def answer(self, request: ChatRequest, models: Models) -> AsyncGenerator[Delta, None]:
        """Yield the chat model's answer, and the documents that it had before it."""
        if not request.question.strip():
            raise ApiError.invalid("messages", "there is no message of the user with a text")
        vector = await _embedded(request.question, models)
        with models.step("nearest passages") as step:
            found = await self._index.nearest(vector, self._args.passages, self._args.min_score)
            cited = within((each.passage for each in found), self._args.context_characters)
            step.span.set_attribute("raygate.passages.found", len(found))
            step.span.set_attribute("raygate.passages.used", len(cited))
        async for delta in models.chat("chat", {**request.body, "messages": augmented(request.messages, cited)}):
            yield delta
        if cited and not request.wants_json:
            yield sources(cited)


async def _embedded(question: str, models: Models) -> NDArray[np.float32]:
    """Return the question's embedding; of one that is too long for the model, the end says most."""
    while True:
        try:
            embeddings = await models.embed("embed", [question])
        except ApiError as error:
            if error.status != 400 or len(question) < _SHORTEST_QUESTION:
                raise
            question = question[len(question) // 2 :]
        else:
            vector: NDArray[np.float32] = embeddings[0]
            return vector


class Index:
    """The passages of one embedding model, in memory, and as new as the table.

    Args:
        table: where they are kept.
        model: the embedding model.
    """

    def __init__(self, table: Passages, model: str) -> None:
        self._table = table
        self._model = model
        self._neighbours = Neighbours.of(())
        self._version: Version = (0, 0.0)
        self._look_at = 0.0
        self._one_refresh = asyncio.Lock()

    async def nearest(self, vector: NDArray[np.float32], count: int, min_score: float) -> list[Found]:
        """Return the passages nearest to a vector, as :meth:`Neighbours.nearest` does."""
        async with self._one_refresh:
            if time.monotonic() >= self._look_at:
                try:
                    await self.refresh()
                except (OSError, SQLAlchemyError, ValueError) as error:
                    # What was read before still answers.
                    _log.warning("the index of %s cannot be read: %s", self._model, type(error).__name__)
        return await asyncio.to_thread(self._neighbours.nearest, vector, count, min_score)

    async def refresh(self) -> None:
        """Read the table again if it has changed."""
        began = time.monotonic()
        version = await self._table.version(self._model)
        if version != self._version:
            self._neighbours = await asyncio.to_thread(Neighbours.of, await self._table.read(self._model))
            self._version = version
        ended = time.monotonic()
        self._look_at = ended + max(REFRESH_S, _RELOAD_SHARE * (ended - began))
