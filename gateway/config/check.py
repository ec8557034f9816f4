"""Reads a configuration file and finds every mistake in it, not only the first."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from engines.base import Task, application_name
from gateway.config.capabilities import tasks_of
from gateway.config.file import ConfigError, Document, KeyPath, Mistake, read
from gateway.config.pipelines import pipeline_mistakes
from gateway.config.schema import (
    EMBEDDED,
    RETRIEVAL,
    WITH_WEIGHTS,
    Config,
    EchoArgs,
    ModelConfig,
    PipelineArgs,
    RetrievalArgs,
    UpstreamArgs,
)
from gateway.config.words import choice, explained

_ARGS: dict[str, type[BaseModel]] = {"echo": EchoArgs, "upstream": UpstreamArgs, "pipeline": PipelineArgs}


def load(path: Path) -> Config:
    """Return the checked configuration; relative folders are made absolute.

    Raises:
        ConfigError: with every mistake in the file.
    """
    document = read(path)
    mistakes: list[Mistake] = []
    try:
        config = Config.model_validate(document.data)
    except ValidationError as error:
        mistakes += explained(document, error, Config)
    if isinstance(document.data, dict):
        mistakes += _across(document)
    if mistakes:
        raise ConfigError(mistakes)
    return _resolved(config, path.resolve().parent)


def _resolved(config: Config, beside: Path) -> Config:
    """Make the sources that are folders absolute: what begins like a path, or names a folder beside the file."""

    def resolved(source: str) -> str:
        if source.startswith(EMBEDDED):
            return source
        folder = (beside / Path(source).expanduser()).resolve()
        return str(folder) if source.startswith(("/", ".", "~")) or folder.is_dir() else source

    entries = [
        entry.model_copy(update={"source": resolved(entry.source)})
        if isinstance(entry, ModelConfig) and entry.source
        else entry
        for entry in config.entries
    ]
    identity = config.identity
    if identity and not identity.jwks.startswith(("http://", "https://")):
        identity = identity.model_copy(update={"jwks": str((beside / Path(identity.jwks).expanduser()).resolve())})
    files = config.files
    if files.url and "://" not in files.url:
        files = files.model_copy(update={"url": str((beside / Path(files.url).expanduser()).resolve())})
    return config.model_copy(update={"entries": entries, "identity": identity, "files": files})


def _across(document: Document) -> Iterator[Mistake]:
    """Yield the mistakes that show only between entries; looks at raw data, so that one mistake hides no other."""
    listed = document.data.get("models")
    entries = [(i, entry) for i, entry in enumerate(listed if isinstance(listed, list) else []) if _is_named(entry)]
    models = [entry["name"] for _, entry in entries if "engine" in entry]
    yield from _taken_names(document, entries)
    yield from pipeline_mistakes(document, entries)
    for i, entry in entries:
        yield from _dangling(document, i, entry, models)
        yield from _engine_needs(document, i, entry)
        yield from _task(document, i, entry)
    default, names = document.data.get("default_model"), [entry["name"] for _, entry in entries]
    if isinstance(default, str) and default not in names:
        yield document.mistake(("default_model",), f"no model is called {default!r}", choice(default, names))


def _taken_names(document: Document, entries: list[tuple[int, dict[str, Any]]]) -> Iterator[Mistake]:
    first: dict[str, int] = {}
    for i, entry in entries:
        # Serve's application name is coarser than the model's: a/b and a--b would be one application.
        taken = first.setdefault(application_name(entry["name"]), i)
        if taken != i:
            other = document.position(("models", taken, "name"))
            problem = f"{entry['name']!r} is taken: line {other.line} uses {document.data['models'][taken]['name']!r}"
            yield document.mistake(("models", i, "name"), problem)


def _dangling(document: Document, i: int, entry: dict[str, Any], models: list[str]) -> Iterator[Mistake]:
    targets: list[tuple[KeyPath, Any]] = []
    for n, part in enumerate(_list(entry.get("route"))):
        if isinstance(part, dict):
            targets.append((("route", n, "model"), part.get("model")))
    targets += [(("fallback", n), name) for n, name in enumerate(_list(entry.get("fallback")))]
    for key, name in targets:
        if isinstance(name, str) and name not in models:
            yield document.mistake(("models", i, *key), f"no engine serves a model {name!r}", choice(name, models))


def _engine_needs(document: Document, i: int, entry: dict[str, Any]) -> Iterator[Mistake]:
    engine, source = entry.get("engine"), entry.get("source")
    key: KeyPath = ("models", i)
    if engine in WITH_WEIGHTS and source is None:
        allowed = "give embedded:NAME, a folder, or a hub id"
        yield document.mistake((*key, "source"), f"is missing, and {engine} needs one", allowed)
    if engine in WITH_WEIGHTS and source == EMBEDDED:
        yield document.mistake((*key, "source"), "names no model", "as in embedded:smollm2")
    if engine in _ARGS and source is not None:
        yield document.mistake((*key, "source"), f"{engine} loads no model", "leave it out")
    if engine in _ARGS and isinstance(args := entry.get("engine_args", {}), dict):
        section = RetrievalArgs if args.get("class") == RETRIEVAL else _ARGS[engine]
        try:
            section.model_validate(args)
        except ValidationError as error:
            yield from explained(document, error, section, (*key, "engine_args"))


def _task(document: Document, i: int, entry: dict[str, Any]) -> Iterator[Mistake]:
    task, tasks = entry.get("task"), tasks_of(str(entry.get("engine")))
    if task in get_args(Task) and tasks and task not in tasks:
        yield document.mistake(("models", i, "task"), f"{entry['engine']} cannot {task}", choice(str(task), tasks))


def _is_named(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("name"), str)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
