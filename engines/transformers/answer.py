"""The API's shapes: what a client receives, from the pieces that were generated."""

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from engines.transformers.calls import Arguments, Call, CallReader, Said
from engines.transformers.sampling import Sampled
from engines.transformers.sequence import Piece
from engines.transformers.sequence import Sequence as Choice
from engines.transformers.tools import Calling

Json = dict[str, Any]
TokenBytes = Callable[[int], bytes]


def usage(choices: Sequence[Choice]) -> Json:
    """Return the token counts: each prompt once, the generated tokens of all choices."""
    prompt_tokens = sum(map(len, {id(choice.prompt): choice.prompt for choice in choices}.values()))
    completion_tokens = sum(len(choice.tokens) for choice in choices)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


@dataclass(frozen=True)
class Head:
    """What all parts of one answer have in common."""

    id: str
    model: str
    system_fingerprint: str
    created: int = field(default_factory=lambda: int(time.time()))

    @classmethod
    def new(cls, prefix: str, model: str, system_fingerprint: str) -> "Head":
        """Return the head of a new answer, its id as OpenAI writes it: ``chatcmpl-...`` or ``cmpl-...``."""
        return cls(f"{prefix}-{uuid.uuid4().hex}", model, system_fingerprint)

    def whole(self, kind: str, choices: list[Json], **rest: Any) -> Json:
        """Return an answer, or a chunk of one; only a chat is of a service tier."""
        tier = {"service_tier": "default"} if kind.startswith("chat.") else {}
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
            **rest,
            **tier,
            "system_fingerprint": self.system_fingerprint,
        }


class ChatShape:
    """Chat completions, whole and in chunks.

    Attributes:
        without_usage: what chunks have beside the one with the usage, when that was asked for.
    """

    without_usage: ClassVar[Json] = {"usage": None}

    def __init__(self, head: Head, token_bytes: TokenBytes, *, logprobs: bool, calling: Calling | None) -> None:
        """Shape one answer.

        Args:
            head: what its parts have in common.
            token_bytes: the bytes behind a token.
            logprobs: whether they were asked for.
            calling: how the model may call, if it may.
        """
        self._head = head
        self._token_bytes = token_bytes
        self._tells_logprobs = logprobs
        self._calling = calling
        self._readers: dict[int, CallReader] = {}
        self._begun: set[int] = set()

    def chunks(self, choice: Choice, piece: Piece) -> Iterable[Json]:
        """Yield a piece's chunks: the role once, the content, the end once."""
        if choice.index not in self._begun:
            self._begun.add(choice.index)
            yield self._chunk(choice, {"role": "assistant", "content": ""})
        deltas = [_delta(said) for said in self._said(choice, piece)]
        if piece.logprobs and not deltas:
            deltas = [{}]
        logprobs = self._logprobs(piece.logprobs)
        for delta in deltas:
            yield self._chunk(choice, delta, logprobs)
            logprobs = None
        if piece.finish_reason:
            yield self._chunk(choice, {}, finish_reason=self._finish_reason(choice, piece))

    def usage_chunk(self, choices: Sequence[Choice]) -> Json:
        """Return the chunk of ``stream_options.include_usage``."""
        return self._head.whole("chat.completion.chunk", [], usage=usage(choices))

    def whole(self, choices: Sequence[Choice], pieces: Sequence[Piece]) -> Json:
        """Return the answer of a request that does not stream."""
        answers: list[Json] = [
            {
                "index": choice.index,
                "message": _message(list(self._said(choice, piece))),
                "logprobs": self._logprobs(piece.logprobs),
                "finish_reason": self._finish_reason(choice, piece),
            }
            for choice, piece in zip(choices, pieces, strict=True)
        ]
        return self._head.whole("chat.completion", answers, usage=usage(choices))

    def _said(self, choice: Choice, piece: Piece) -> Iterable[Said]:
        """Return what a piece says and calls."""
        if self._calling is None:
            return [piece.text] if piece.text else []
        reader = self._readers.setdefault(choice.index, CallReader())
        return reader.push(piece.text, last=piece.finish_reason is not None)

    def _finish_reason(self, choice: Choice, piece: Piece) -> str | None:
        calls = self._readers[choice.index].calls if self._calling else 0
        if piece.finish_reason == "stop" and calls and self._calling and not self._calling.named:
            return "tool_calls"
        return piece.finish_reason

    def _chunk(
        self, choice: Choice, delta: Json, logprobs: Json | None = None, finish_reason: str | None = None
    ) -> Json:
        answer = {"index": choice.index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        return self._head.whole("chat.completion.chunk", [answer])

    def _logprobs(self, entries: Sequence[tuple[Sampled, int]]) -> Json | None:
        if not self._tells_logprobs:
            return None
        content = [
            {
                **self._token(sampled.token, sampled.logprob),
                "top_logprobs": [self._token(*alternative) for alternative in sampled.top],
            }
            for sampled, _ in entries
        ]
        return {"content": content, "refusal": None}

    def _token(self, token: int, logprob: float | None) -> Json:
        raw = self._token_bytes(token)
        return {"token": raw.decode(errors="replace"), "logprob": logprob, "bytes": list(raw)}


def _delta(said: Said) -> Json:
    """Return the delta of a stream that says it."""
    match said:
        case Call(index, id, name):
            call = {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}
            return {"tool_calls": [call]}
        case Arguments(index, text):
            return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}
        case _:
            return {"content": said}


def _message(said: Sequence[Said]) -> Json:
    """Return the message of an answer that says all this."""
    content = "".join(part for part in said if isinstance(part, str))
    message: Json = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
    calls: list[Json] = []
    for part in said:
        if isinstance(part, Call):
            calls.append({"id": part.id, "type": "function", "function": {"name": part.name, "arguments": ""}})
        elif isinstance(part, Arguments):
            calls[part.index]["function"]["arguments"] += part.text
    return message | {"content": content.strip() or None, "tool_calls": calls} if calls else message


class CompletionShape:
    """Text completions, whole and in chunks.

    Attributes:
        without_usage: what chunks have beside the one with the usage: nothing, as the schema has no null there.
    """

    without_usage: ClassVar[Json] = {}

    def __init__(self, head: Head, token_bytes: TokenBytes, *, logprobs: bool, echoes: dict[int, str]) -> None:
        """Shape one answer.

        Args:
            head: what its parts have in common.
            token_bytes: the bytes behind a token.
            logprobs: whether they were asked for.
            echoes: the text to put before each choice, by its index; empty without ``echo``.
        """
        self._head = head
        self._token_bytes = token_bytes
        self._tells_logprobs = logprobs
        self._echoes = echoes
        self._begun: set[int] = set()

    def chunks(self, choice: Choice, piece: Piece) -> Iterable[Json]:
        """Yield a piece's chunk, if it has anything to say."""
        first = choice.index not in self._begun
        self._begun.add(choice.index)
        if piece.text or piece.logprobs or piece.finish_reason or (first and self._echoes):
            yield self._head.whole("text_completion", [self._answer(choice, piece, with_echo=first)])

    def usage_chunk(self, choices: Sequence[Choice]) -> Json:
        """Return the chunk of ``stream_options.include_usage``."""
        return self._head.whole("text_completion", [], usage=usage(choices))

    def whole(self, choices: Sequence[Choice], pieces: Sequence[Piece]) -> Json:
        """Return the answer of a request that does not stream."""
        answers = [self._answer(choice, piece, with_echo=True) for choice, piece in zip(choices, pieces, strict=True)]
        return self._head.whole("text_completion", answers, usage=usage(choices))

    def _answer(self, choice: Choice, piece: Piece, *, with_echo: bool) -> Json:
        echo = self._echoes.get(choice.index, "")
        logprobs = None
        if self._tells_logprobs:
            told = [(sampled, offset + len(echo)) for sampled, offset in piece.logprobs]
            logprobs = self._logprobs([*self._prompt(choice), *told] if echo and with_echo else told)
        text = echo + piece.text if with_echo else piece.text
        return {"text": text, "index": choice.index, "logprobs": logprobs, "finish_reason": piece.finish_reason}

    def _prompt(self, choice: Choice) -> Iterable[tuple[Sampled, int]]:
        """Yield the prompt's tokens; the first has no log probability, since nothing comes before it."""
        offset = 0
        for sampled in [Sampled(choice.prompt[0]), *(choice.prompt_logprobs or [])]:
            yield sampled, offset
            offset += len(self._name(sampled.token))

    def _logprobs(self, entries: Sequence[tuple[Sampled, int]]) -> Json:
        return {
            "tokens": [self._name(sampled.token) for sampled, _ in entries],
            "token_logprobs": [sampled.logprob for sampled, _ in entries],
            "top_logprobs": [
                None
                if sampled.logprob is None
                else {self._name(token): value for token, value in (*sampled.top, (sampled.token, sampled.logprob))}
                for sampled, _ in entries
            ],
            "text_offset": [offset for _, offset in entries],
        }

    def _name(self, token: int) -> str:
        return self._token_bytes(token).decode(errors="replace")


def joined(pieces: Sequence[Piece]) -> Piece:
    """Return what a choice has said in all."""
    return Piece(
        "".join(piece.text for piece in pieces),
        tuple(entry for piece in pieces for entry in piece.logprobs),
        pieces[-1].finish_reason,
    )
