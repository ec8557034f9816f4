"""The engine: loads the model, starts its batch, and stands for both before the replica."""

import asyncio
import hashlib
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.types import ASGIApp

from engines.base import Engine, EngineSettings, EngineStartError, Load
from engines.embedded import resolve
from engines.failure import root_cause
from engines.responses import with_responses

if TYPE_CHECKING:
    from engines.transformers.batcher import Batcher
    from engines.transformers.compiler import Compiler
    from engines.transformers.scheduler import Scheduler


class TransformersArgs(BaseModel):
    """The ``engine_args`` of a Transformers model.

    Attributes:
        dtype: ``auto``, or a torch dtype; ``auto`` is float32 on CPUs and the weights' own elsewhere.
        device: ``auto``, or a torch device; ``auto`` is the accelerator if there is one.
        max_batch_size: sequences that are generated, or texts that are embedded, at once; further ones wait.
        max_model_len: tokens that prompt and answer may have together; default: what the model was made for.
        prefill_tokens: prompt tokens computed between two tokens of the running sequences.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dtype: str = Field(default="auto", pattern="^(auto|float32|bfloat16|float16)$")
    device: str = "auto"
    max_batch_size: int = Field(default=16, ge=1)
    max_model_len: int | None = Field(default=None, ge=2)
    prefill_tokens: int = Field(default=512, ge=1)


class TransformersEngine(Engine):
    """A model of Hugging Face Transformers, in this process: a causal language model, or an encoder."""

    kind = "transformers"

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        try:
            self._args = TransformersArgs.model_validate(settings.engine_args)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise EngineStartError(f"engine_args.{first['loc'][0]}: {first['msg']}") from None
        self._batch: Scheduler | Batcher | None = None
        self._compiler: Compiler | None = None

    async def start(self) -> ASGIApp:
        """Load the model, which may take minutes, and return the app."""
        try:
            return with_responses(await self._start())
        except EngineStartError:
            raise
        except Exception as error:
            raise EngineStartError(root_cause(error)) from error

    async def _start(self) -> ASGIApp:
        if not self.settings.source:
            raise EngineStartError("source: a model on Transformers needs one: embedded:NAME, a folder, or a hub id")
        source = await asyncio.to_thread(resolve, self.settings.source, self.settings.home)
        match self.settings.task:
            case "generate":
                return await self._start_generating(source)
            case "embed":
                return await self._start_embedding(source)
            case task:
                raise EngineStartError(f"task: the transformers engine has no models for {task!r}")

    async def _start_generating(self, source: str) -> ASGIApp:
        from engines.transformers.app import application
        from engines.transformers.choices import Choices
        from engines.transformers.compiler import Compiler
        from engines.transformers.generating import generating
        from engines.transformers.generation import Dispatcher, Generation
        from engines.transformers.model import Model
        from engines.transformers.scheduler import Scheduler
        from engines.transformers.tokenizer import Tokenizer
        from engines.transformers.tokens import tokens

        args = self._args
        # The model first: of an unknown architecture, a tokenizer only says that some package may be missing.
        model = await asyncio.to_thread(Model, source, rows=args.max_batch_size, dtype=args.dtype, device=args.device)
        tokenizer = await asyncio.to_thread(Tokenizer, source)
        max_model_len = self._max_model_len(model.max_length)
        dispatcher = Dispatcher()
        scheduler = Scheduler(
            model, dispatcher.deliver, max_batch_size=args.max_batch_size, prefill_tokens=args.prefill_tokens
        )
        scheduler.start()
        self._batch = scheduler
        eos_token_ids = model.eos_token_ids | tokenizer.eos_token_ids
        self._compiler = Compiler(tokenizer.serialised, model.vocabulary_size, eos_token_ids)
        name, vocabulary_size = self.settings.model, model.vocabulary_size
        choices = Choices(
            name,
            tokenizer,
            self._compiler,
            max_model_len=max_model_len,
            vocabulary_size=vocabulary_size,
            eos_token_ids=eos_token_ids,
            system_fingerprint=f"fp_{hashlib.sha256(f'{source} {model.dtype}'.encode()).hexdigest()[:10]}",
        )
        routes = generating(choices, lambda sequences: Generation(scheduler, dispatcher, sequences))
        routes += tokens(name, tokenizer, max_model_len=max_model_len, vocabulary_size=vocabulary_size)
        return application(name, routes)

    async def _start_embedding(self, source: str) -> ASGIApp:
        from engines.transformers.app import application
        from engines.transformers.batcher import Batcher
        from engines.transformers.embedding import Embedding
        from engines.transformers.encoder import Encoder
        from engines.transformers.tokenizer import Tokenizer
        from engines.transformers.tokens import tokens

        args = self._args
        encoder = await asyncio.to_thread(Encoder, source, dtype=args.dtype, device=args.device)
        tokenizer = await asyncio.to_thread(Tokenizer, source)
        max_model_len = self._max_model_len(encoder.max_length)
        batcher = Batcher(encoder, max_batch_size=args.max_batch_size)
        batcher.start()
        self._batch = batcher
        name = self.settings.model
        routes = Embedding(name, tokenizer, encoder, batcher, max_model_len=max_model_len).routes()
        routes += tokens(name, tokenizer, max_model_len=max_model_len, vocabulary_size=encoder.vocabulary_size)
        return application(name, routes)

    def _max_model_len(self, longest: int) -> int:
        wanted = self._args.max_model_len or longest
        if wanted > longest:
            raise EngineStartError(f"engine_args.max_model_len: the model was made for {longest} tokens")
        return wanted

    def load(self) -> Load:
        """Return the batch's own count of choices, or texts to embed, that run and wait."""
        return self._batch.load() if self._batch else Load(running=0, waiting=0)

    async def check_health(self) -> None:
        """Raise when the batch no longer moves.

        Raises:
            RuntimeError: when its loop has ended, or its last steps all failed.
        """
        if self._batch is None or not self._batch.healthy:
            raise RuntimeError("The batch's loop has ended, or its last steps all failed.")

    async def stop(self) -> None:
        """End the batch's loop, and the process of the grammars."""
        if self._batch is not None:
            await self._batch.stop()
        if self._compiler is not None:
            await self._compiler.close()
