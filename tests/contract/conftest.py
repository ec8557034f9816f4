"""One gateway with every engine behind it, and what the doctor finds out about each of them."""

import asyncio
import copy
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from doctor.check import Check
from doctor.examine import Result, examine
from doctor.journal import Journal
from doctor.server import Server, session
from tests.e2e.conftest import configs, model_cache  # noqa: F401 - fixtures
from tests.e2e.running import KEY, Raygate, free_port, raygate
from tests.published import mistakes

CONCURRENCY = 4
TIMEOUT_S = 120
"""Four engines answer at once, on two cores."""

SCHEMAS = {
    "chat.completion": "CreateChatCompletionResponse",
    "chat.completion.chunk": "CreateChatCompletionStreamResponse",
    "text_completion": "CreateCompletionResponse",
    "text_completion.chunk": "CreateCompletionResponse",
    "embeddings.float": "CreateEmbeddingResponse",
    "model": "Model",
    "response": "Response",
    "response.event": "ResponseStreamEvent",
}
"""What OpenAI's document calls the answers of each kind; of embeddings in base64 it tells nothing."""

Found = Mapping[tuple[str, str], Result]


class PublishedJournal(Journal):
    """Holds every answer against the document itself as well, not only against the SDK's types.

    Attributes:
        unfit: what did not fit, and how often, by kind.
    """

    def __init__(self) -> None:
        super().__init__()
        self.unfit: dict[str, Counter[str]] = defaultdict(Counter)

    def note(self, kind: str, answer: dict[str, Any]) -> None:
        super().note(kind, answer)
        if kind in SCHEMAS:
            self.unfit[kind].update(mistakes(SCHEMAS[kind], documented(kind, answer)))


def documented(kind: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Return a text completion without the nulls that OpenAI sends and its document does not tell of.

    The reason to finish is null before the end of a stream, and a first token has no probability.
    """
    if not kind.startswith("text_completion"):
        return answer
    told = copy.deepcopy(answer)
    for choice in told["choices"]:
        if kind.endswith(".chunk"):
            choice["finish_reason"] = choice["finish_reason"] or "stop"
        if choice["logprobs"] and choice["logprobs"]["token_logprobs"][:1] == [None]:
            del choice["logprobs"]["token_logprobs"][0], choice["logprobs"]["top_logprobs"][0]
    return told


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "contract" in item.path.parts:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Iterator[Raygate]:  # noqa: F811
    home, port = tmp_path_factory.mktemp("contract"), free_port()
    (home / "models").symlink_to(model_cache)
    config = home / "contract.yaml"
    config.write_text(Path(__file__).with_name("contract.yaml").read_text().replace(":8000/", f":{port}/"))
    with raygate(config, home, port=port) as started:
        yield started


@pytest.fixture(scope="package")
def journals() -> Mapping[str, PublishedJournal]:
    """What each engine has answered, once ``found`` is there."""
    return defaultdict(PublishedJournal)


@pytest.fixture(scope="package")
def found(running: Raygate, journals: Mapping[str, PublishedJournal], request: pytest.FixtureRequest) -> Found:
    """What came of every check that this session asks for, by engine and name; all engines are asked at once."""
    asked: dict[str, list[Check]] = {}
    for item in request.session.items:
        parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        if {"engine", "check"} <= parameters.keys():
            asked.setdefault(parameters["engine"], []).append(parameters["check"])

    async def examined() -> Found:
        async with session() as connections:

            async def one(engine: str, checks: list[Check]) -> list[Result]:
                journal = journals[engine]
                server = Server(connections, running.openai_url, KEY, engine, f"{engine}-embed", journal=journal)
                return await examine(server, checks, concurrency=CONCURRENCY, timeout_s=TIMEOUT_S)

            results = await asyncio.gather(*(one(engine, checks) for engine, checks in asked.items()))
        pairs = zip(asked, results, strict=True)
        return {(engine, result.check.name): result for engine, some in pairs for result in some}

    return asyncio.run(examined())
