"""From a request to the sequences that answer it."""

import asyncio
from collections.abc import Sequence as Sequence_
from itertools import chain

from engines.transformers.answer import ChatShape, CompletionShape, Head
from engines.transformers.body import RequestError, check_model, check_tokens
from engines.transformers.compiler import Compiler, GrammarRefusal
from engines.transformers.guide import Guide
from engines.transformers.request import Body, ChatBody, CompletionBody
from engines.transformers.sampling import SamplingParams
from engines.transformers.sequence import Limits, Sequence
from engines.transformers.tokenizer import TemplateRefusal, Tokenizer
from engines.transformers.tools import Calling


class Choices:
    """Knows the model's name, words and bounds."""

    def __init__(
        self,
        model: str,
        tokenizer: Tokenizer,
        compiler: Compiler,
        *,
        max_model_len: int,
        vocabulary_size: int,
        eos_token_ids: frozenset[int],
        system_fingerprint: str,
    ) -> None:
        """Prepare for requests.

        Args:
            model: the name that clients know.
            tokenizer: the model's.
            compiler: turns grammars into guides for this tokenizer.
            max_model_len: tokens that prompt and answer may have together.
            vocabulary_size: one more than the highest token id.
            eos_token_ids: tokens with which the model ends its answer.
            system_fingerprint: names this model in this precision.
        """
        self._model = model
        self._tokenizer = tokenizer
        self._compiler = compiler
        self._max_model_len = max_model_len
        self._vocabulary_size = vocabulary_size
        self._eos_token_ids = eos_token_ids
        self._system_fingerprint = system_fingerprint

    async def of_chat(self, body: ChatBody) -> tuple[list[Sequence], ChatShape]:
        """Return the ``n`` choices of a conversation, and their shape.

        Raises:
            RequestError: when the conversation does not fit the model.
        """
        self._check(body)
        calling = body.calling()
        messages = [message.for_template() for message in body.messages]
        tools = [tool.for_template() for tool in body.tools or ()] if calling else []
        try:
            prompt = await asyncio.to_thread(self._tokenizer.chat, messages, tools)
        except TemplateRefusal as refusal:
            raise RequestError(str(refusal), code=None, param="messages") from None
        wanted = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
        limits = Limits(
            max_tokens=self._room(prompt, wanted, "messages"),
            stop=tuple(body.stop or ()),
            ignore_eos=bool(body.ignore_eos),
        )
        params = body.sampling(body.top_logprobs or 0 if body.logprobs else None)
        shape = ChatShape(
            self._head("chatcmpl"), self._tokenizer.token_bytes, logprobs=bool(body.logprobs), calling=calling
        )
        return self._sequences(body, [prompt], params, [limits], await self._guides(body, calling)), shape

    async def of_completion(self, body: CompletionBody) -> tuple[list[Sequence], CompletionShape]:
        """Return the ``n`` choices of each prompt, in the prompts' order, and their shape.

        Raises:
            RequestError: when a prompt does not fit the model.
        """
        self._check(body)
        prompts = await asyncio.to_thread(self._prompts, body.prompts())
        wanted = 16 if body.max_tokens is None else body.max_tokens
        limits = [
            Limits(
                max_tokens=self._room(prompt, wanted, "prompt"),
                stop=tuple(body.stop or ()),
                ignore_eos=bool(body.ignore_eos),
                tell_prompt=bool(body.echo) and body.logprobs is not None,
            )
            for prompt in prompts
        ]
        sequences = self._sequences(body, prompts, body.sampling(body.logprobs), limits)
        echoes = (
            {choice.index: self._tokenizer.decode(list(choice.prompt)) for choice in sequences} if body.echo else {}
        )
        shape = CompletionShape(
            self._head("cmpl"), self._tokenizer.token_bytes, logprobs=body.logprobs is not None, echoes=echoes
        )
        return sequences, shape

    async def _guides(self, body: ChatBody, calling: Calling | None) -> list[Guide]:
        """Return a guide a choice when the answer's form is not free.

        Raises:
            RequestError: when the form cannot be kept.
        """
        form = body.response_format.grammar() if body.response_format else None
        if not form and not calling:
            return []
        grammar = calling.grammar(form) if calling else f"start: {form}"
        try:
            return await self._compiler.guides(grammar, body.n or 1)
        except GrammarRefusal as refusal:
            param = "tools" if calling else "response_format"
            raise RequestError(f"Invalid schema for '{param}': {refusal}.", code="invalid_value", param=param) from None

    def _check(self, body: Body) -> None:
        check_model(body.model, self._model)
        check_tokens(body.logit_bias or (), self._vocabulary_size, "logit_bias")

    def _prompts(self, prompts: Sequence_[str | list[int]]) -> list[tuple[int, ...]]:
        encoded = [self._tokenizer.encode(prompt) if isinstance(prompt, str) else tuple(prompt) for prompt in prompts]
        if not encoded or not all(encoded):
            raise RequestError("A prompt needs at least one token.", code="invalid_value", param="prompt")
        check_tokens(chain.from_iterable(encoded), self._vocabulary_size, "prompt")
        return encoded

    def _room(self, prompt: tuple[int, ...], wanted: int | None, what: str) -> int:
        """Return how many tokens may follow the prompt.

        Raises:
            RequestError: when prompt and answer would be longer than the context.
        """
        needed = len(prompt) + (1 if wanted is None else wanted)
        if needed <= self._max_model_len:
            return self._max_model_len - len(prompt) if wanted is None else wanted
        asked = (
            f"your {what} resulted in {len(prompt)} tokens"
            if wanted is None or len(prompt) > self._max_model_len
            else f"you requested {needed} tokens ({len(prompt)} in the {what}, {wanted} in the completion)"
        )
        raise RequestError(
            f"This model's maximum context length is {self._max_model_len} tokens. However, {asked}. "
            f"Please reduce the length of the {what} or completion. (context_length_exceeded)",
            code="context_length_exceeded",
            param=what,
        )

    def _sequences(
        self,
        body: Body,
        prompts: list[tuple[int, ...]],
        params: SamplingParams,
        limits: list[Limits],
        guides: Sequence_[Guide] = (),
    ) -> list[Sequence]:
        n = body.n or 1
        return [
            Sequence(
                index := number * n + choice,
                prompt,
                params,
                limit,
                seed=None if body.seed is None else body.seed + index,
                decode=self._tokenizer.decode,
                eos_token_ids=self._eos_token_ids,
                guide=guides[choice] if guides else None,
            )
            for number, (prompt, limit) in enumerate(zip(prompts, limits, strict=True))
            for choice in range(n)
        ]

    def _head(self, prefix: str) -> Head:
        return Head.new(prefix, self._model, self._system_fingerprint)
