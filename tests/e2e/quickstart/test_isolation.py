"""One project cannot learn from the prefix cache what another has asked."""

import asyncio
import uuid

import pytest

from auth.keys import create_key
from auth.projects import create_project
from auth.store import Store, sqlite_url
from tests.e2e.running import KEY, Raygate


@pytest.fixture(scope="module")
def stranger(quickstart: Raygate) -> str:
    """A key of another project."""

    async def made() -> str:
        store = Store(sqlite_url(quickstart.home))
        project = await create_project(store, name="strangers")
        _, secret = await create_key(store, name="stranger", project=project.id)
        await asyncio.sleep(1)  # by then every gateway replica knows it
        await store.close()
        return secret

    return asyncio.run(made())


def cached_tokens(quickstart: Raygate, key: str, prompt: str, **fields: object) -> int:
    messages = [{"role": "user", "content": prompt}]
    with quickstart.client(key) as client:
        body = {"model": "smollm2", "messages": messages, "max_tokens": 1, **fields}
        usage = client.post("/v1/chat/completions", json=body).json()["usage"]
    assert usage["prompt_tokens"] > 256
    return int(usage["prompt_tokens_details"]["cached_tokens"])


@pytest.fixture
def prompt() -> str:
    """A prompt that nobody has asked before, of several blocks of the cache."""
    return f"{uuid.uuid4().hex} says: " + "the quick brown fox jumps over the lazy dog. " * 30


def test_a_prefix_is_reused_within_a_project_and_unknown_to_another(
    quickstart: Raygate, stranger: str, prompt: str
) -> None:
    assert cached_tokens(quickstart, KEY, prompt) == 0
    assert cached_tokens(quickstart, KEY, prompt) > 0
    assert cached_tokens(quickstart, stranger, prompt) == 0


def test_a_clients_own_salt_opens_no_other_projects_cache(quickstart: Raygate, stranger: str, prompt: str) -> None:
    assert cached_tokens(quickstart, KEY, prompt, cache_salt="shared") == 0
    assert cached_tokens(quickstart, KEY, prompt, cache_salt="shared") > 0
    assert cached_tokens(quickstart, KEY, prompt) == 0
    assert cached_tokens(quickstart, stranger, prompt, cache_salt="shared") == 0
