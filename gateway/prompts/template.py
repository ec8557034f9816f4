"""What a model's chat template adds to the messages, measured once by rendering a few short conversations."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

import orjson
from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gateway.prompts.tokens import Count

Messages = Sequence[Mapping[str, Any]]
SYSTEM = ("system", "developer")


@dataclass(frozen=True)
class Overhead:
    """Tokens that are no message's text.

    Attributes:
        opening: of a conversation without a system message; many templates add one of their own.
        opening_with_system: of a conversation that has one, with what that message takes.
        answer: of each message of the assistant.
        message: of each other message.
        tools: whether the template shows the model its tools.
    """

    opening: int = 4
    opening_with_system: int = 8
    answer: int = 4
    message: int = 4
    tools: bool = True

    @classmethod
    def measured(cls, folder: Path, count: Count) -> Self:
        """Return the overhead of the model in ``folder``; a plain guess where no template can be rendered."""
        try:
            template = _Template.of(folder)
            asked = template.overhead(count, "user")
            answered = template.overhead(count, "user", "assistant")
            message = template.overhead(count, "user", "assistant", "user") - answered
        except Exception:  # a template is a program, and may fail in any way
            return cls()
        opening = asked - message
        try:
            opening_with_system = template.overhead(count, "system", "user") - message
        except TemplateError:  # some models know no system messages
            opening_with_system = asked
        return cls(opening, opening_with_system, answered - asked, message, "tools" in template.source)

    def of(self, messages: Messages) -> int:
        """Return the overhead of a conversation."""
        has_system = bool(messages) and messages[0].get("role") in SYSTEM
        opening = self.opening_with_system if has_system else self.opening
        answers = len([message for message in messages if message.get("role") == "assistant"])
        return opening + answers * self.answer + (len(messages) - answers - has_system) * self.message


@dataclass(frozen=True)
class _Template:
    source: str
    special: Mapping[str, str]

    @classmethod
    def of(cls, folder: Path) -> Self:
        path = folder / "tokenizer_config.json"
        config = orjson.loads(path.read_bytes()) if path.exists() else {}
        beside = folder / "chat_template.jinja"
        source = beside.read_text() if beside.exists() else config["chat_template"]
        if isinstance(source, list):
            source = next(entry["template"] for entry in source if entry["name"] == "default")
        named = {name: config.get(name) for name in ("bos_token", "eos_token", "unk_token", "pad_token")}
        special = {name: token["content"] if isinstance(token, dict) else token for name, token in named.items()}
        return cls(source, {name: token or "" for name, token in special.items()})

    def overhead(self, count: Count, *roles: str) -> int:
        """Return the tokens of a conversation of one-word messages, less its words."""
        word = "word"
        messages = [{"role": role, "content": word} for role in roles]
        return count(self._render(messages)) - len(roles) * count(word)

    def _render(self, messages: Messages) -> str:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        # What Transformers offers to chat templates.
        environment.filters["tojson"] = lambda value, **_: orjson.dumps(value).decode()
        environment.globals |= {"raise_exception": _refuse, "strftime_now": datetime.datetime.now().strftime}
        template = environment.from_string(self.source)
        return template.render(messages=messages, add_generation_prompt=True, **self.special)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)
