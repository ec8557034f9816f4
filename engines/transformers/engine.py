"""The engine: loads the model, starts the scheduler, and stands for both before the replica."""

import asyncio
import hashlib
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.types import ASGIApp

from engines.base import Engine, EngineSettings, EngineStartError, Load
from engines.embedded import resolve
from engines.failure import root_cause

if TYPE_CHECKING:
    from engines.transformers.compiler import Compiler
    from engines.transformers.scheduler import Scheduler


class TransformersArgs(BaseModel):
    """The ``engine_args`` of a Transformers model.

    Attributes:
        dtype: ``auto``, or a torch dtype; ``auto`` is float32 on CPUs and the weights' own elsewhere.
        device: ``auto``, or a torch device; ``auto`` is the accelerator if there is one.
        max_batch_size: sequences that are generated at once; further ones wait.
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
    """A causal language model of Hugging Face Transformers, in this process."""

    kind = "transformers"

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        try:
            self._args = TransformersArgs.model_validate(settings.engine_args)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise EngineStartError(f"engine_args.{first['loc'][0]}: {first['msg']}") from None
        self._scheduler: Scheduler | None = None
        self._compiler: Compiler | None = None

    async def start(self) -> ASGIApp:
        """Load the model, which may take minutes, and return the app."""
        try:
            return await self._start()
        except EngineStartError:
            raise
        except Exception as error:
            raise EngineStartError(root_cause(error)) from error

    async def _start(self) -> ASGIApp:
        if not self.settings.source:
            raise EngineStartError("source: a model on Transformers needs one: embedded:NAME, a folder, or a hub id")
        source = await asyncio.to_thread(resolve, self.settings.source, self.settings.home)
        from engines.transformers.app import application
        from engines.transformers.choices import Choices
        from engines.transformers.compiler import Compiler
        from engines.transformers.generation import Dispatcher, Generation
        from engines.transformers.model import Model
        from engines.transformers.scheduler import Scheduler
        from engines.transformers.tokenizer import Tokenizer

        args = self._args
        # The model first: of an unknown architecture, a tokenizer only says that some package may be missing.
        model = await asyncio.to_thread(Model, source, rows=args.max_batch_size, dtype=args.dtype, device=args.device)
        tokenizer = await asyncio.to_thread(Tokenizer, source)
        max_model_len = args.max_model_len or model.max_length
        if max_model_len > model.max_length:
            raise EngineStartError(f"engine_args.max_model_len: the model was made for {model.max_length} tokens")
        dispatcher = Dispatcher()
        scheduler = Scheduler(
            model, dispatcher.deliver, max_batch_size=args.max_batch_size, prefill_tokens=args.prefill_tokens
        )
        scheduler.start()
        self._scheduler = scheduler
        eos_token_ids = model.eos_token_ids | tokenizer.eos_token_ids
        self._compiler = Compiler(tokenizer.serialised, model.vocabulary_size, eos_token_ids)
        choices = Choices(
            self.settings.model,
            tokenizer,
            self._compiler,
            max_model_len=max_model_len,
            vocabulary_size=model.vocabulary_size,
            eos_token_ids=eos_token_ids,
            system_fingerprint=f"fp_{hashlib.sha256(f'{source} {model.dtype}'.encode()).hexdigest()[:10]}",
        )
        return application(choices, lambda sequences: Generation(scheduler, dispatcher, sequences))

    def load(self) -> Load:
        """Return the scheduler's own count of choices that run and wait."""
        return self._scheduler.load() if self._scheduler else Load(running=0, waiting=0)

    async def check_health(self) -> None:
        """Raise when the batch no longer moves.

        Raises:
            RuntimeError: when its thread is dead, or its last steps all failed.
        """
        if self._scheduler is None or not self._scheduler.healthy:
            raise RuntimeError("The batch's thread has ended, or its last steps all failed.")

    async def stop(self) -> None:
        """End the batch's thread, and the process of the grammars."""
        if self._scheduler is not None:
            await asyncio.to_thread(self._scheduler.stop)
        if self._compiler is not None:
            await self._compiler.close()
