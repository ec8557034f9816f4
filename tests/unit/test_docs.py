"""What the documentation says of the program is what the program says of itself."""

import asyncio
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import httpx
import orjson
import pytest
import typer
import yaml
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from ray.serve import Application
from ray.serve.schema import ServeDeploySchema
from typer.testing import CliRunner

from auth.usage import Usage
from engines.base import Engine, EngineSettings, Load
from engines.transformers.engine import TransformersArgs
from gateway.cli.main import app
from gateway.config.check import load
from gateway.config.schema import Config, EchoArgs, ModelConfig, PipelineArgs, RetrievalArgs, UpstreamArgs
from gateway.config.settings import AliasEntry
from gateway.http import errors
from gateway.request.metrics import Metrics, engine_loads, gateways_up
from gateway.routes.generating import ENDPOINTS

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
LINKING = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "findings" / "README.md"]
REQUIRED = "required"
TYPES = {int: "integer", float: "number", str: "string", list: "list", dict: "mapping", Path: "path"}


def page(name: str) -> str:
    return (ROOT / name).read_text()


def blocks(language: str, *names: str) -> list[str]:
    """Return the fenced blocks of a language on the named pages, or on all."""
    texts = [page(name) for name in names] if names else [path.read_text() for path in PAGES]
    return [block for text in texts for block in re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.M)]


def rows(text: str, columns: int) -> Iterator[list[str]]:
    """Yield the cells of each table row that has so many columns and begins with code."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `") and len(cells) == columns:
            yield cells


def bare(annotation: Any) -> Any:
    """Return a type without Annotated and without None."""
    if get_origin(annotation) is Annotated:
        return bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        some = [part for part in get_args(annotation) if part is not type(None)]
        return bare(some[0]) if len(some) == 1 else annotation
    return annotation


def type_of(annotation: Any) -> str:
    plain = bare(annotation)
    if get_origin(plain) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(plain))
    return TYPES[get_origin(plain) or plain]


def default_of(field: FieldInfo) -> str:
    if field.is_required():
        return REQUIRED
    default = field.get_default(call_default_factory=True)
    return "null" if default is None else f"{default:g}" if isinstance(default, float) else str(default)


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield path, type and default of each key of a section and of the sections in it."""
    for name, field in model.model_fields.items():
        path, kind = f"{prefix}{field.alias or name}", bare(field.annotation)
        if inspect.isclass(kind) and issubclass(kind, BaseModel):
            yield from keys(kind, f"{path}.")
            continue
        yield path, type_of(kind), default_of(field)
        (inner,) = get_args(kind) if get_origin(kind) is list else (None,)
        for entry in get_args(get_args(inner)[0]) if get_origin(inner) is Annotated else (inner,):
            section = bare(entry)
            if inspect.isclass(section) and issubclass(section, BaseModel):
                yield from keys(section, f"{path}[].")


EVERY_KEY = [
    *keys(Config),
    *keys(TransformersArgs, "transformers."),
    *keys(UpstreamArgs, "upstream."),
    *keys(PipelineArgs, "pipeline."),
    *(key for key in keys(RetrievalArgs, "retrieval.") if key[0] not in ("retrieval.class", "retrieval.otlp_endpoint")),
    *keys(EchoArgs, "echo."),
]


def written_keys() -> list[tuple[str, str, str]]:
    found = rows(page("docs/configuration.md"), 4)
    return [(key.strip("`"), kind, default.strip("`")) for key, kind, default, _ in found]


def test_the_walk_meets_both_kinds_of_entries_and_every_section() -> None:
    paths = {path for path, _, _ in EVERY_KEY}
    sections = {"models[].replicas", "models[].resources", "models[].price"}
    assert {f"models[].{name}" for name in ModelConfig.model_fields} - paths == sections
    assert {f"models[].{name}" for name in AliasEntry.model_fields} <= paths
    assert {"gateway.port", "gateway.bounds.max_body_bytes", "models[].route[].weight"} <= paths


@pytest.mark.parametrize(("path", "kind", "default"), sorted(set(EVERY_KEY)), ids=str)
def test_the_reference_has_each_key_with_its_type_and_default(path: str, kind: str, default: str) -> None:
    written = [(of, type_) for key, type_, of in written_keys() if key == path]
    assert written, f"docs/configuration.md lacks {path}"
    assert {of for of, _ in written} == {default}
    # transformers.dtype is a pattern, which the page shows as the list of what it matches.
    assert {type_ for _, type_ in written} == {kind} or path == "transformers.dtype"


def test_the_reference_has_no_key_that_does_not_exist() -> None:
    assert {key for key, _, _ in written_keys()} == {path for path, _, _ in EVERY_KEY}


@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda block: block.split("\n", 1)[0])
def test_each_configuration_shown_is_one(block: str, tmp_path: Path) -> None:
    file, data = tmp_path / "shown.yaml", yaml.safe_load(block)
    file.write_text(block)
    if "applications" in data:
        assert ServeDeploySchema.model_validate(data).applications
    elif "scrape_configs" in data:
        assert data["scrape_configs"][0]["authorization"]["type"] == "Bearer"
    else:
        assert load(file).models


def test_the_readme_shows_the_quickstart_as_it_is() -> None:
    (shown,) = blocks("yaml", "README.md")
    assert yaml.safe_load(shown) == yaml.safe_load(page("configs/quickstart.yaml"))


def commands(command: Any, name: str = "raygate") -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        for sub, inner in command.commands.items():
            yield from commands(inner, f"{name} {sub}")
    else:
        yield name, command


EVERY_COMMAND = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", EVERY_COMMAND)
def test_each_command_is_in_the_readme_with_an_example(name: str) -> None:
    assert re.search(rf"^\| `{name}[ `]", page("README.md"), re.M)


@pytest.mark.parametrize("name", EVERY_COMMAND)
def test_each_option_with_a_value_names_its_default(name: str) -> None:
    command = EVERY_COMMAND[name]
    asked = CliRunner(env={"COLUMNS": "120"}).invoke(app, [*name.split()[1:], "--help"])
    shown = re.sub(r"[│\s]+", " ", asked.output)
    # A key has no default, and one from the environment must not be shown.
    options = [found for found in command.params if found.param_type_name == "option"]
    valued = [found for found in options if not found.is_flag and found.name not in ("api_key", "help")]
    unnamed = [found.name for found in valued if "[default:" not in after(shown, found.opts[0])]
    assert unnamed == []


def after(shown: str, option: str) -> str:
    """Return what a help page says of an option: all up to the next one."""
    return re.split(r" --\w", shown.rsplit(f" {option} ", 1)[1], maxsplit=1)[0]


def test_every_error_is_in_the_reference() -> None:
    inside = [re.split(r"\s{2,}", line) for line in (errors.__doc__ or "").splitlines() if re.match(r"\d{3} ", line)]
    pairs = {(status, code) for status, _, some, *_ in inside for code in some.split(", ")}
    written = {(cells[0].strip("`"), code) for cells in rows(page("docs/errors.md"), 4) for code in codes(cells[2])}
    assert pairs
    assert pairs - written == set()


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def families(exposition: bytes) -> dict[str, set[str]]:
    """Return each metric's labels."""
    return {
        name(family.name, family.type): {label for sample in family.samples for label in sample.labels} - {"le"}
        for family in text_string_to_metric_families(exposition.decode())
        if not family.name.endswith("_created")
    }


def name(family: str, kind: str) -> str:
    return f"{family}_total" if kind == "counter" else family


def test_every_metric_is_in_the_reference_with_its_labels() -> None:
    metrics = Metrics("a", ["m"])
    metrics.begin("m")
    metrics.end("m", status=500, code="internal_error", first_token_s=0.1, total_s=1)
    metrics.count("m", Usage(1, 1), estimated=True)
    metrics.refused("m", "rate_limit_exceeded")
    told = families(metrics.exposition()) | families(engine_loads({"m": {"r": Load(running=1, waiting=0)}}))
    told |= families(gateways_up({"a": True}))
    written = {metric.strip("`"): set(codes(labels)) for metric, _, labels, _ in rows(page("docs/operations.md"), 4)}
    assert written == told


@pytest.fixture
def parrot(tmp_path: Path) -> Iterator[ModuleType]:
    """Return the documented engine, imported as the file that its reader would write."""
    (source,) = blocks("python", "docs/engines.md")
    file = tmp_path / "parrot.py"
    file.write_text(source)
    spec = importlib.util.spec_from_file_location("parrot", file)
    assert spec is not None and spec.loader is not None
    module = sys.modules["parrot"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["parrot"]


@pytest.fixture
def ask(parrot: ModuleType, tmp_path: Path) -> Callable[[dict[str, Any]], httpx.Response]:
    """Return a function that asks the documented engine through its app."""

    def asked(body: dict[str, Any]) -> httpx.Response:
        async def once() -> httpx.Response:
            engine: Engine = parrot.Parrot(EngineSettings(model="parrot", home=tmp_path))
            transport = httpx.ASGITransport(await engine.start())
            async with httpx.AsyncClient(transport=transport, base_url="http://parrot") as client:
                return await client.post("/v1/chat/completions", json={"messages": [HELLO], **body})

        return asyncio.run(once())

    return asked


HELLO = {"role": "user", "content": "hello there"}


def test_the_documented_engine_is_a_serve_application(parrot: ModuleType) -> None:
    assert isinstance(parrot.build({"model": "parrot"}), Application)


def test_the_documented_engine_answers(ask: Callable[[dict[str, Any]], httpx.Response]) -> None:
    answer = ask({"model": "parrot"}).json()
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["content"] == "hello there"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"] == {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}


@pytest.mark.parametrize("include_usage", [True, False])
def test_the_documented_engine_streams(ask: Callable[[dict[str, Any]], httpx.Response], include_usage: bool) -> None:
    stream = ask({"stream": True, "stream_options": {"include_usage": include_usage}})
    *events, done, end = stream.text.split("\n\n")
    chunks = [orjson.loads(event.removeprefix("data: ")) for event in events]
    choices = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert (done, end) == ("data: [DONE]", "")
    assert "".join(choice["delta"].get("content", "") for choice in choices) == "hello there"
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["stop"]
    assert [chunk["usage"]["total_tokens"] for chunk in chunks if not chunk["choices"]] == [4] * include_usage


@pytest.mark.parametrize("path", LINKING, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text())
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []


def test_every_endpoint_of_a_model_is_in_the_readme() -> None:
    named = re.findall(r"`(/[^`]+)`", page("README.md"))
    assert [endpoint.path for endpoint in ENDPOINTS if endpoint.path not in named] == []
