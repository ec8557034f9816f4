"""``raygate index``: documents for a pipeline that answers from them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.options import DEFAULT_BASE_URL, DEFAULT_HOME, MISTAKE, ApiKey, BaseUrl, Home, fail

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from gateway.config.schema import ModelConfig, RetrievalArgs
    from gateway.indexing.folder import Document
    from gateway.indexing.indexer import Plan

_SHORTEST = 32
"""Characters below which a text is not cut further to fit the embedding model."""

_PATIENCE = 8
"""How often a request is repeated that meets a limit, or a model that is starting."""

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The documents: *.md, *.txt, *.rst and *.html.")]
ConfigOf = Annotated[Path, typer.Option("--config", help="The configuration that the gateway runs.")]
Pipeline = Annotated[
    str | None, typer.Option("--model", "-m", help="The pipeline to index for.", show_default="the only one in it")
]


def index(
    folder: Folder,
    config: ConfigOf = Path("configs/rag.yaml"),
    model: Pipeline = None,
    api_key: ApiKey = "",
    base_url: BaseUrl = DEFAULT_BASE_URL,
    home: Home = DEFAULT_HOME,
) -> None:
    """Read a folder of documents into the index of a pipeline that answers from them, through the running gateway.

    Example: RAYGATE_API_KEY=sk-... raygate index docs --config configs/rag.yaml --model docs

    An index mirrors one folder: what has changed is embedded again, and what is gone from the folder goes.
    """
    from openai import APIError
    from sqlalchemy.exc import SQLAlchemyError

    from gateway.config.file import ConfigError
    from gateway.indexing.indexer import IndexFull
    from objects.passages import BadIndex

    if not api_key:
        fail("Set RAYGATE_API_KEY, or pass --api-key; 'raygate keys create NAME' makes a key.", MISTAKE)
    try:
        found, args = _retrieval(config, model)
        documents = _documents(folder)
        asyncio.run(_index(found, args, documents, home, f"{base_url.rstrip('/')}/v1", api_key))
    except (ConfigError, BadIndex) as error:
        fail(error, MISTAKE)
    except APIError as error:
        fail(f"{args.models.embed}: {error.message}")
    except (IndexFull, OSError, SQLAlchemyError) as error:
        fail(error)


def _retrieval(file: Path, name: str | None) -> "tuple[ModelConfig, RetrievalArgs]":
    """Return the pipeline of that name, or the only one."""
    from gateway.config.check import load
    from gateway.config.schema import RETRIEVAL, RetrievalArgs

    found = [model for model in load(file).models if model.engine_args.get("class") == RETRIEVAL]
    named = [model for model in found if name in (None, model.name)]
    if len(named) != 1:
        there_are = ", ".join(model.name for model in found) or "none"
        fail(f"{file}: name one pipeline that answers from documents with --model; there are: {there_are}", MISTAKE)
    return named[0], RetrievalArgs.model_validate(named[0].engine_args)


def _documents(folder: Path) -> "list[Document]":
    from gateway.indexing.folder import MAX_FOLDER_CHARACTERS, Document, documents

    if not folder.is_dir():
        fail(f"{folder} is no folder", MISTAKE)
    found, characters = [], 0
    for each in documents(folder):
        if isinstance(each, Document):
            found.append(each)
            characters += len(each.text)
            if characters > MAX_FOLDER_CHARACTERS:
                fail(f"{folder} holds more than {MAX_FOLDER_CHARACTERS} characters: the index stays as it is")
        else:
            typer.echo(f"skipped {each.source}: {each.why}", err=True)
    if not found:
        fail(f"{folder} holds no documents: the index stays as it is", MISTAKE)
    return found


async def _index(
    model: "ModelConfig", args: "RetrievalArgs", documents: "Sequence[Document]", home: Path, url: str, api_key: str
) -> None:
    from openai import AsyncOpenAI
    from rich.console import Console
    from rich.progress import Progress

    from engines.base import application_name
    from gateway.indexing.indexer import Recipe, carry_out, plan
    from objects.passages import index_url, open_passages

    embedder = args.models.embed
    async with (
        AsyncOpenAI(base_url=url, api_key=api_key, max_retries=_PATIENCE) as client,
        open_passages(index_url(args.index, application_name(model.name), home)) as table,
    ):

        async def embed(texts: Sequence[str]) -> list[list[float]]:
            return await _embedded(client, embedder, texts)

        dimensions = len((await embed(["How long is an embedding?"]))[0])
        recipe = Recipe(embedder, dimensions, args.passage_characters, args.overlap_characters)
        planned = plan(documents, await table.digests(embedder), recipe)
        to_do = sum(len(recipe.split(document)) for document in (*planned.new, *planned.changed))
        with Progress(console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task(f"embedding with {embedder}", total=to_do)
            await carry_out(planned, table, recipe, embed, lambda count: progress.advance(bar, count))
        typer.echo(_told(model.name, documents, planned, await table.count(embedder), to_do))


async def _embedded(client: "AsyncOpenAI", model: str, texts: Sequence[str]) -> list[list[float]]:
    """Return embeddings; a text that is too long for the model is embedded by its beginning."""
    from openai import BadRequestError

    try:
        answer = await client.embeddings.create(model=model, input=list(texts))
    except BadRequestError:
        if len(texts) > 1:
            return [*await _embedded(client, model, texts[:1]), *await _embedded(client, model, texts[1:])]
        if len(texts[0]) < _SHORTEST:
            raise
        return await _embedded(client, model, [texts[0][: len(texts[0]) // 2]])
    return [row.embedding for row in sorted(answer.data, key=lambda row: row.index)]


def _told(name: str, documents: "Sequence[Document]", planned: "Plan", passages: int, embedded: int) -> str:
    """Return what was done, in one line."""
    changes = f"{len(planned.new)} new, {len(planned.changed)} changed, {len(planned.gone)} gone"
    return f"{name}: {len(documents)} documents ({changes}), {passages} passages, of which {embedded} are embedded anew"
