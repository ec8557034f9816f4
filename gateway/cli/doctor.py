"""``raygate doctor``: holds any OpenAI-compatible server against the wire contract, and prints what came of it."""

import asyncio
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.matrix import print_checks, print_families
from gateway.cli.options import DEFAULT_BASE_URL, FAILURE, MISTAKE, AsJson, BaseUrl, fail

if TYPE_CHECKING:
    from doctor.check import Check
    from doctor.examine import Result

ApiKey = Annotated[
    str, typer.Option("--key", "--api-key", envvar="RAYGATE_API_KEY", help="A key of the server.", show_default=False)
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", "-m", help="Which model; repeat it to compare several.", show_default="the first one listed"
    ),
]
EmbeddingModel = Annotated[str | None, typer.Option(help="The model that embeds.", show_default="the same as --model")]
Only = Annotated[str, typer.Option(metavar="GLOB", help="Only checks whose name or line matches: 'tools/*', 'C4.*'.")]
Concurrency = Annotated[int, typer.Option(min=1, max=64, help="Checks that run at a time.")]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds that one check may take.")]

Summary = Annotated[bool, typer.Option("--summary", help="Print a row for each family of checks.")]


def doctor(
    base_url: BaseUrl = DEFAULT_BASE_URL,
    api_key: ApiKey = "",
    model: Models = None,
    embedding_model: EmbeddingModel = None,
    only: Only = "*",
    concurrency: Concurrency = 4,
    timeout: Timeout = 60,
    summary: Summary = False,
    as_json: AsJson = False,
) -> None:
    """Hold an OpenAI-compatible server against the wire contract.

    Example: raygate doctor --base-url http://127.0.0.1:8000 --key sk-... --model smollm2

    Marks: ✓ passed, ✗ failed, ○ an extra that the server lacks, - does not apply, ! could not be found out.

    Exit codes: 0 when nothing failed, 1 when something did.
    """
    import aiohttp

    from doctor.catalogue import chosen
    from doctor.survey import NotServed
    from doctor.verdict import Failed

    checks = chosen(only)
    if not checks:
        fail(f"no check matches {only!r}", MISTAKE)
    try:
        found = asyncio.run(
            _examine(_api(base_url), api_key, model or [], embedding_model, checks, concurrency, timeout)
        )
    except aiohttp.ClientError as error:
        fail(f"nothing answers at {base_url}: {error}")
    except (NotServed, Failed) as error:
        fail(error)
    if as_json:
        typer.echo(json.dumps({name: [_fields(result) for result in results] for name, results in found.items()}))
    elif summary:
        print_families(found)
    else:
        print_checks(found)
    if any(result.is_bad for results in found.values() for result in results):
        raise typer.Exit(FAILURE)


def _api(base_url: str) -> str:
    """Return the URL up to and with ``/v1``."""
    url = base_url.rstrip("/")
    return url if url.endswith("/v1") else f"{url}/v1"


async def _examine(
    base_url: str,
    key: str,
    models: list[str],
    embedding_model: str | None,
    checks: "Sequence[Check]",
    concurrency: int,
    timeout_s: float,
) -> "dict[str, list[Result]]":
    """Return each model's results, one model after the other."""
    from doctor.examine import examine
    from doctor.server import Server, session

    async with session() as connections:
        names = models or [await Server(connections, base_url, key, "").first_model()]
        found = {}
        for name in names:
            server = Server(connections, base_url, key, name, embedding_model)
            found[name] = await examine(server, checks, concurrency=concurrency, timeout_s=timeout_s)
        return found


def _fields(result: "Result") -> dict[str, str]:
    return {
        "check": result.check.name,
        "line": result.check.line,
        "outcome": result.outcome,
        "reason": result.reason,
    }
