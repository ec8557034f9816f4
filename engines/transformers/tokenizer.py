"""What the API needs of a model's tokenizer: prompts in, text out, and the bytes behind each token."""

import json
import re
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any

from jinja2 import TemplateError
from transformers import AutoTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from engines.transformers.prompt import in_plain_words

BYTE_OF = {character: byte for byte, character in bytes_to_unicode().items()}
"""Byte-level BPE writes each byte as one printable character."""

BYTE_FALLBACK = re.compile(r"<0x([0-9A-F]{2})>")
"""SentencePiece writes a byte outside its vocabulary like this."""


HERMES = re.compile(r'<tool_call>\s*(\\n)?\{\\?"name\\?": ')
"""How a chat template shows the form of a call, with JSON's quotes escaped or not."""


class TemplateRefusal(ValueError):
    """The model's chat template is missing, or does not take these messages."""


class Tokenizer:
    """A tokenizer of Transformers.

    Attributes:
        serialised: its ``tokenizer.json``, if it has one.
    """

    def __init__(self, source: str) -> None:
        self._tokenizer: Any = AutoTokenizer.from_pretrained(source)
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        self.serialised: str | None = backend.to_str() if backend else None
        decoder = json.loads(self.serialised)["decoder"] if self.serialised else None
        self._byte_level = '"ByteLevel"' in json.dumps(decoder)
        self._added = {token.content for token in self._tokenizer.added_tokens_decoder.values()}
        self.token_bytes = lru_cache(maxsize=None)(self._token_bytes)

    @cached_property
    def _knows_tools(self) -> bool:
        """Whether the chat template tells the model of tools, and lets it call them in the Hermes form."""
        template = self._tokenizer.get_chat_template(tools=[{}])
        return HERMES.search(template) is not None and re.search(r"\btools\b", template) is not None

    @property
    def eos_token_ids(self) -> frozenset[int]:
        """The token that ends a text, if there is one."""
        token = self._tokenizer.eos_token_id
        return frozenset() if token is None else frozenset([token])

    def chat(
        self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] = (), *, speaks: bool = True
    ) -> tuple[int, ...]:
        """Return the prompt of a conversation.

        Args:
            messages: as chat templates know them.
            tools: functions that the assistant may call, in the API's form.
            speaks: whether it ends where the assistant begins to speak.

        Raises:
            TemplateRefusal: when the model's template cannot say it.
        """
        if not self._tokenizer.chat_template:
            raise TemplateRefusal("This model has no chat template: use /v1/completions.")
        if not self._knows_tools:
            messages, tools = in_plain_words(messages, tools), ()
        try:
            encoded = self._tokenizer.apply_chat_template(
                list(messages), tools=list(tools) or None, add_generation_prompt=speaks, return_dict=True
            )
        except (TemplateError, TypeError, KeyError):
            raise TemplateRefusal("The model's chat template does not take these messages.") from None
        return tuple(encoded["input_ids"])

    def encode(self, text: str, *, special: bool = True) -> tuple[int, ...]:
        """Return a text's tokens, with those that the model wants around it if ``special``."""
        return tuple(self._tokenizer(text, add_special_tokens=special)["input_ids"])

    def decode(self, tokens: list[int], *, special: bool = False) -> str:
        """Return the text of tokens, without the special ones unless ``special``."""
        return self._tokenizer.decode(tokens, skip_special_tokens=not special)  # type: ignore[no-any-return]

    def names(self, tokens: Sequence[int]) -> list[str]:
        """Return the tokens as the vocabulary writes them."""
        return self._tokenizer.convert_ids_to_tokens(list(tokens))  # type: ignore[no-any-return]

    def _token_bytes(self, token: int) -> bytes:
        """Return the bytes that a token stands for, which may be part of a character."""
        name = self._tokenizer.convert_ids_to_tokens(token)
        if name is None:
            return b""
        if name in self._added:
            return name.encode()  # type: ignore[no-any-return]
        if self._byte_level:
            return bytes(BYTE_OF[character] for character in name)
        if byte := BYTE_FALLBACK.fullmatch(name):
            return bytes([int(byte[1], 16)])
        return name.replace("▁", " ").encode()  # type: ignore[no-any-return]
