import time

import pytest

from auth.errors import InvalidValue, NameTaken, NotFound
from auth.keys import create_key, digest, list_keys, may_use, revoke_key
from auth.store import Store


async def test_a_new_key_has_a_secret_of_its_own(store: Store) -> None:
    key, secret = await create_key(store, name="laptop")
    assert secret.startswith("sk-")
    assert key.digest == digest(secret)
    assert secret.startswith(key.hint)
    assert (key.project, key.scopes, key.models) == ("default", ("inference",), ("*",))


async def test_the_secret_is_stored_nowhere(store: Store) -> None:
    _, secret = await create_key(store, name="laptop")
    assert secret not in repr(await list_keys(store))


async def test_a_given_secret_is_used(store: Store) -> None:
    key, secret = await create_key(store, name="first", secret="sk-given-by-the-operator")
    assert (secret, key.digest) == ("sk-given-by-the-operator", digest("sk-given-by-the-operator"))


async def test_a_name_is_unique_among_live_keys(store: Store) -> None:
    await create_key(store, name="laptop")
    with pytest.raises(NameTaken):
        await create_key(store, name="laptop")


async def test_a_revoked_keys_name_is_free_again(store: Store) -> None:
    await create_key(store, name="laptop")
    await revoke_key(store, "laptop")
    await create_key(store, name="laptop")
    assert [key.revoked_at is None for key in await list_keys(store)].count(True) == 1


async def test_two_keys_never_share_a_secret(store: Store) -> None:
    await create_key(store, name="one", secret="sk-given-by-the-operator")
    with pytest.raises(NameTaken):
        await create_key(store, name="two", secret="sk-given-by-the-operator")


async def test_revoking_twice_keeps_the_first_time(store: Store) -> None:
    key, _ = await create_key(store, name="laptop")
    first = await revoke_key(store, key.id)
    second = await revoke_key(store, key.id)
    assert first.revoked_at == second.revoked_at is not None


async def test_a_missing_key_cannot_be_revoked(store: Store) -> None:
    with pytest.raises(NotFound):
        await revoke_key(store, "nobody")


async def test_a_missing_project_owns_no_key(store: Store) -> None:
    with pytest.raises(NotFound):
        await create_key(store, name="laptop", project="nowhere")


async def test_keys_are_listed_in_pages(store: Store) -> None:
    made = {(await create_key(store, name=f"key {number}"))[0].id for number in range(3)}
    first = await list_keys(store, limit=2)
    rest = await list_keys(store, after=first[-1].id)
    assert (len(first), len(rest), {key.id for key in first + rest}) == (2, 1, made)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "x" * 129},
        {"name": "two\nlines"},
        {"name": "\x1b[31mred"},
        {"name": "x", "secret": "sk-short"},
        {"name": "x", "secret": "no-prefix-at-all-here"},
        {"name": "x", "secret": "sk-with a space inside"},
        {"name": "x", "secret": "sk-" + "x" * 500},
        {"name": "x", "scopes": ["everything"]},
        {"name": "x", "scopes": []},
        {"name": "x", "models": ["m"] * 3 + [f"m{number}" for number in range(64)]},
        {"name": "x", "models": ["x" * 129]},
        {"name": "x", "expires_at": 1.0},
        {"name": "x", "expires_at": float("nan")},
    ],
)
async def test_what_cannot_be_stored_is_refused(store: Store, fields: dict[str, object]) -> None:
    with pytest.raises(InvalidValue):
        await create_key(store, **fields)
    assert await list_keys(store) == []


async def test_sql_in_a_name_is_only_a_name(store: Store) -> None:
    name = "'; DROP TABLE keys; --"
    await create_key(store, name=name)
    assert [key.name for key in await list_keys(store)] == [name]


@pytest.mark.parametrize(
    ("globs", "model", "allowed"),
    [
        (["*"], "any/model:7b", True),
        (["gpt-*", "smollm2"], "smollm2", True),
        (["gpt-*", "smollm2"], "smollm2-hf", False),
        (["Qwen/*"], "Qwen/Qwen3-0.6B", True),
        (["Qwen/*"], "qwen/qwen3-0.6b", False),
        ([], "smollm2", False),
    ],
)
async def test_a_key_knows_the_models_that_its_patterns_match(
    store: Store, globs: list[str], model: str, allowed: bool
) -> None:
    key, _ = await create_key(store, name="x", models=globs, expires_at=time.time() + 60)
    assert may_use(key, model) is allowed
