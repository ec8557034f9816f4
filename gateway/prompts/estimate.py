"""How many tokens a prompt will be, before an engine has counted: what admission reserves."""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from auth.usage import roughly
from gateway.config.settings import ModelEntry
from gateway.endpoints.call import Call, Prompt
from gateway.prompts.folder import folder_of
from gateway.prompts.template import Overhead
from gateway.prompts.tokens import Count, counter_of

ON_THE_LOOP = 20_000
"""Characters that are counted at once: 4 ms at the very worst. Longer prompts go to a thread."""

LOOK_AGAIN_S = 1.0
"""How often a model's folder is looked for until it is there."""

log = structlog.get_logger("raygate.prompts")


@dataclass(frozen=True)
class Tokenizer:
    """What counts a model's tokens."""

    count: Count
    overhead: Overhead

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """Read a model folder; takes about a second."""
        count = counter_of(folder)
        return cls(count, Overhead.measured(folder, count))

    def estimate(self, call: Call) -> int:
        """Return the prompt's tokens: exact for plain conversations, but for a few where a long text is cut."""
        prompt = call.prompt
        texts = (*prompt.texts, prompt.tools) if self.overhead.tools else prompt.texts
        return sum(map(self.count, texts)) + prompt.tokens + _added(self.overhead, prompt)


@dataclass
class Prompts:
    """Estimates by model. A tokenizer is loaded when it is first needed and its folder has appeared.

    Attributes:
        home: where converted models are kept.
    """

    home: Path
    _loaded: dict[str, Tokenizer] = field(default_factory=dict)
    _look_at: dict[str, float] = field(default_factory=dict)
    _one_load: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def estimate(self, model: ModelEntry, call: Call) -> int:
        """Return about how many prompt tokens the engine of ``model`` will count for ``call``."""
        tokenizer = await self._tokenizer(model)
        if tokenizer is None:
            return rough(call)
        if len(call.prompt.tools) + sum(map(len, call.prompt.texts)) <= ON_THE_LOOP:
            return tokenizer.estimate(call)
        return await asyncio.to_thread(tokenizer.estimate, call)

    async def _tokenizer(self, model: ModelEntry) -> Tokenizer | None:
        if model.source is None:
            return None
        if model.name not in self._loaded and time.monotonic() >= self._look_at.get(model.name, 0):
            async with self._one_load:
                if model.name not in self._loaded:
                    await self._load(model.name, model.source)
        return self._loaded.get(model.name)

    async def _load(self, name: str, source: str) -> None:
        folder = folder_of(source, self.home)
        if folder is None:
            self._look_at[name] = time.monotonic() + LOOK_AGAIN_S
            return
        try:
            self._loaded[name] = await asyncio.to_thread(Tokenizer.load, folder)
        except Exception as error:  # a damaged file, in whatever way: the rough estimate will do
            log.warning("no tokenizer", model=name, error=type(error).__name__)
            self._look_at[name] = float("inf")


def rough(call: Call) -> int:
    """Return an estimate that costs nothing and needs no tokenizer."""
    prompt = call.prompt
    return roughly((*prompt.texts, prompt.tools)) + prompt.tokens + _added(Overhead(), prompt)


def _added(overhead: Overhead, prompt: Prompt) -> int:
    """Return what the model's template adds; only conversations go through it."""
    return overhead.of(prompt.messages) if prompt.messages else 0
