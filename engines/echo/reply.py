"""One answer of an echo, as a stream of events or as a whole."""

import asyncio
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, ClassVar

import orjson

from engines.base import Used
from engines.echo.args import EchoArgs
from engines.echo.request import ChatRequest, Completing, CompletionRequest, words_of, words_of_message
from engines.echo.saying import Saying

_FINGERPRINT = "fp_echo"

DONE = b"data: [DONE]\n\n"

COMPLETION_TOKENS = 16
"""Of a text completion that names no number, as in the API."""


_AT_ONCE = 64
"""Tokens that an echo without a pace says before it lets others go on."""


class Reply(ABC):
    """What chat and text completions have in common.

    Attributes:
        prefix: of the answer's id.
        whole_kind, chunk_kind: ``object`` of a whole answer, and of a stream's chunks.
    """

    prefix: ClassVar[str]
    whole_kind: ClassVar[str]
    chunk_kind: ClassVar[str]

    def __init__(
        self, asked: Completing, words: list[list[str]], prompt_tokens: int, tokens: int, model: str, args: EchoArgs
    ) -> None:
        """Args: words: those of each choice; tokens: of each choice."""
        self.asked = asked
        self.choices = range(len(words))
        self._sayings = [Saying(some, tokens, asked.stops) for some in words]
        self._args = args
        self._prompt_tokens, self._produced = prompt_tokens, 0
        self._journal: Callable[[], object] | None = None
        self._head = {"id": f"{self.prefix}-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}
        completion = sum(saying.tokens for saying in self._sayings)
        self._usage = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": prompt_tokens + completion,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }

    @abstractmethod
    def whole_choice(self, text: str) -> dict[str, Any]:
        """Return what a whole answer's choice says."""

    @abstractmethod
    def opening(self) -> dict[str, Any] | None:
        """Return what a choice's first event says before its first token; ``None`` for no such event."""

    @abstractmethod
    def piece(self, text: str) -> dict[str, Any]:
        """Return what the event of a token says, or, without text, that of a choice's end."""

    def journal(self, note: Callable[[], object]) -> None:
        """Let ``note`` be called for each token that is produced."""
        self._journal = note

    def used(self) -> Used:
        """Return what has been used so far."""
        return Used(self._prompt_tokens, self._produced)

    async def wait(self) -> None:
        """Produce every token, at the configured pace."""
        pause = 1 / self._args.tokens_per_s if self._args.tokens_per_s else 0
        await asyncio.sleep(self._args.first_token_s)
        for place, index in self._turns():
            await self._turn(place, index, pause)
            self._produce(index, place)

    def whole(self) -> bytes:
        """Return the answer's object."""
        choices = [
            {
                "index": index,
                **self.whole_choice(saying.text()),
                "logprobs": None,
                "finish_reason": saying.finish_reason,
            }
            for index, saying in enumerate(self._sayings)
        ]
        return orjson.dumps(
            {**self._head, "object": self.whole_kind, "choices": choices, "usage": self._usage}
            | {"service_tier": None, "system_fingerprint": _FINGERPRINT}
        )

    async def events(self) -> AsyncIterator[bytes]:
        """Yield the events of the stream, one token of each choice at a time."""
        pause = 1 / self._args.tokens_per_s if self._args.tokens_per_s else 0
        if self._args.first_token_s:
            await asyncio.sleep(self._args.first_token_s)
        if (opening := self.opening()) is not None:
            for index in self.choices:
                yield self._event(index, opening)
        for place, index in self._turns():
            await self._turn(place, index, pause)
            yield self._event(index, self.piece(self._produce(index, place)))
        for event in self._ending():
            yield event

    def _turns(self) -> Iterator[tuple[int, int]]:
        """Yield place and choice of each token, one token of each choice at a time."""
        places = range(max(saying.tokens for saying in self._sayings))
        return ((place, index) for place in places for index in self.choices if place < self._sayings[index].tokens)

    async def _turn(self, place: int, index: int, pause: float) -> None:
        """Wait for a token's turn; without a pace, others have theirs now and then, and who leaves is noticed."""
        if index == 0 and (pause or place % _AT_ONCE == _AT_ONCE - 1):
            await asyncio.sleep(pause)

    def _produce(self, index: int, place: int) -> str:
        self._produced += 1
        if self._journal is not None:
            self._journal()
        return self._sayings[index].token(place)

    def _ending(self) -> Iterator[bytes]:
        for index, saying in enumerate(self._sayings):
            yield self._event(index, self.piece(""), saying.finish_reason)
        if self.asked.include_usage:
            yield self._chunk({"choices": [], "usage": self._usage})
        yield DONE

    def _event(self, index: int, said: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": index, **said, "logprobs": None, "finish_reason": finish_reason}
        return self._chunk({"choices": [choice]})

    def _chunk(self, fields: dict[str, Any]) -> bytes:
        head = {**self._head, "object": self.chunk_kind, "system_fingerprint": _FINGERPRINT}
        return b"data: " + orjson.dumps({**head, **fields}) + b"\n\n"


class ChatReply(Reply):
    """A ``chat.completion``: the words of the last message."""

    prefix, whole_kind, chunk_kind = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def __init__(self, chat: ChatRequest, model: str, args: EchoArgs) -> None:
        tokens = chat.max_completion_tokens or chat.max_tokens or args.default_max_tokens
        prompt_tokens = sum(len(words_of_message(message)) for message in chat.messages)
        words = words_of_message(chat.messages[-1])
        super().__init__(chat, [words] * (chat.n or 1), prompt_tokens, tokens, model, args)

    def whole_choice(self, text: str) -> dict[str, Any]:
        """Return the choice's message."""
        return {"message": {"role": "assistant", "content": text, "refusal": None, "annotations": []}}

    def opening(self) -> dict[str, Any]:
        """Return the delta that names the role."""
        return {"delta": {"role": "assistant", "content": ""}}

    def piece(self, text: str) -> dict[str, Any]:
        """Return a delta."""
        return {"delta": {"content": text} if text else {}}


class CompletionReply(Reply):
    """A ``text_completion``: the words of each prompt."""

    prefix, whole_kind, chunk_kind = "cmpl", "text_completion", "text_completion"

    def __init__(self, completion: CompletionRequest, model: str, args: EchoArgs) -> None:
        prompts = words_of(completion.prompt)
        tokens = COMPLETION_TOKENS if completion.max_tokens is None else completion.max_tokens
        # The order of the choices is the API's: all of the first prompt, then all of the next.
        words = [words for words in prompts for _ in range(completion.n or 1)]
        super().__init__(completion, words, sum(map(len, prompts)), tokens, model, args)

    def whole_choice(self, text: str) -> dict[str, Any]:
        """Return the choice's text."""
        return {"text": text}

    def opening(self) -> None:
        """Return nothing: a text begins with its first token."""

    def piece(self, text: str) -> dict[str, Any]:
        """Return a part of the text."""
        return {"text": text}
