from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from jinja2 import Template

from gateway.config.settings import Bounds, ModelEntry
from gateway.endpoints.call import Call
from gateway.endpoints.chat import parse_chat
from gateway.prompts.estimate import ON_THE_LOOP, Prompts, rough
from gateway.prompts.folder import folder_of
from tests.unit.gateway.prompts.test_byte_pairs import TRAINED

TOKENIZER = TRAINED["GPT-2"]
OWN_SYSTEM = (
    "{% for message in messages %}"
    "{% if loop.first and message.role != 'system' %}<|start|>system\nYou are helpful.<|end|>\n{% endif %}"
    "<|start|>{{ message.role }}\n{{ message.content }}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
NO_SYSTEM = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'system' %}{{ raise_exception('no system messages') }}{% endif %}"
    "{{ message.role }}: {{ message.content }}\n{% endfor %}"
)
USER = {"role": "user", "content": "The quick brown fox"}
SYSTEM = {"role": "system", "content": "jumps over"}
ASSISTANT = {"role": "assistant", "content": "the lazy dog"}

Save = Callable[[str], Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Return a function that writes the folder of the embedded model ``tiny``, as an engine does at its first start."""

    def saved(template: str) -> Path:
        folder = tmp_path / "models" / "tiny"
        folder.mkdir(parents=True)
        TOKENIZER.save(str(folder / "tokenizer.json"))
        (folder / "chat_template.jinja").write_text(template)
        (folder / "tokenizer_config.json").write_bytes(orjson.dumps({"bos_token": {"content": "<|start|>"}}))
        return folder

    return saved


def call(*messages: dict[str, Any], **fields: Any) -> Call:
    payload = {"messages": list(messages), **fields}
    return parse_chat(payload, Bounds())


async def estimate(home: Path, asked: Call) -> int:
    entry = ModelEntry(name="tiny", engine="vllm", source="embedded:tiny")
    return await Prompts(home).estimate(entry, asked)


def rendered(template: str, *messages: dict[str, Any]) -> int:
    """Return what an engine would count."""
    text = Template(template).render(messages=messages, add_generation_prompt=True, bos_token="<|start|>")
    return len(TOKENIZER.encode(text, add_special_tokens=False))


@pytest.mark.parametrize(
    "messages", [(USER,), (SYSTEM, USER), (USER, ASSISTANT, USER), (SYSTEM, USER, ASSISTANT, USER, ASSISTANT, USER)]
)
async def test_a_plain_conversation_is_counted_as_the_engine_will_within_a_token_a_message(
    save: Save, tmp_path: Path, messages: tuple[dict[str, Any], ...]
) -> None:
    save(OWN_SYSTEM)
    exact = rendered(OWN_SYSTEM, *messages)
    assert await estimate(tmp_path, call(*messages)) == pytest.approx(exact, abs=len(messages))


async def test_a_template_may_refuse_system_messages(save: Save, tmp_path: Path) -> None:
    save(NO_SYSTEM)
    exact = rendered(NO_SYSTEM, USER, ASSISTANT, USER)
    assert await estimate(tmp_path, call(USER, ASSISTANT, USER)) == pytest.approx(exact, abs=3)


@pytest.mark.parametrize("template", ["{{ nonsense(", "{{ messages.missing.field }}", "{{ 1 / 0 }}"])
async def test_a_template_that_cannot_be_rendered_is_guessed(save: Save, tmp_path: Path, template: str) -> None:
    save(template)
    words = len(TOKENIZER.encode(str(USER["content"])))
    assert await estimate(tmp_path, call(USER)) == words + 8


async def test_a_long_prompt_is_counted_too(save: Save, tmp_path: Path) -> None:
    save(OWN_SYSTEM)
    long = {"role": "user", "content": "The quick brown fox " * ON_THE_LOOP}
    exact = rendered(OWN_SYSTEM, long)
    assert await estimate(tmp_path, call(long)) == pytest.approx(exact, rel=0.001)


async def test_parts_and_tool_calls_are_counted(save: Save, tmp_path: Path) -> None:
    save(OWN_SYSTEM)
    parts = {"role": "user", "content": [{"type": "text", "text": USER["content"]}, {"type": "image_url"}]}
    assert await estimate(tmp_path, call(parts)) == rendered(OWN_SYSTEM, USER)
    calls = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
    assert await estimate(tmp_path, call(USER, calls)) > await estimate(tmp_path, call(USER, ASSISTANT))


@pytest.mark.parametrize(("template", "shown"), [(OWN_SYSTEM, False), (OWN_SYSTEM + "{{ tools }}", True)])
async def test_tools_count_where_the_template_shows_them(
    save: Save, tmp_path: Path, template: str, shown: bool
) -> None:
    save(template)
    tools = [{"type": "function", "function": {"name": "weather"}}]
    more = await estimate(tmp_path, call(USER, tools=tools)) - await estimate(tmp_path, call(USER))
    assert (more > 0) is shown


async def test_a_folder_that_appears_later_is_found(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.prompts.estimate.LOOK_AGAIN_S", 0)
    prompts, entry = Prompts(tmp_path), ModelEntry(name="tiny", engine="vllm", source="embedded:tiny")
    assert await prompts.estimate(entry, call(USER)) == rough(call(USER))
    save(OWN_SYSTEM)
    assert await prompts.estimate(entry, call(USER)) == rendered(OWN_SYSTEM, USER)


async def test_a_damaged_tokenizer_leaves_the_rough_estimate(save: Save, tmp_path: Path) -> None:
    (save(OWN_SYSTEM) / "tokenizer.json").write_text('{"model": 7}')
    assert await estimate(tmp_path, call(USER)) == rough(call(USER))


async def test_a_model_without_weights_is_estimated_roughly(tmp_path: Path) -> None:
    entry = ModelEntry(name="echo", engine="echo")
    assert await Prompts(tmp_path).estimate(entry, call(USER)) == rough(call(USER)) == 5 + 8


def test_a_downloaded_model_is_found_without_the_network(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "hub" / "models--org--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "snapshots").mkdir()
    (repository / "refs" / "main").write_text("abc123")
    save(OWN_SYSTEM).rename(repository / "snapshots" / "abc123")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert folder_of("org/tiny", tmp_path) == repository / "snapshots" / "abc123"
    assert folder_of("org/other", tmp_path) is None
