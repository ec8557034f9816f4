from dataclasses import replace

import pytest

from auth.access import Access
from auth.key_changes import update_key
from auth.keys import create_key
from auth.ledger_row import LedgerRow
from auth.limiter import OwnLeases
from auth.limits import Limit
from auth.rejection import Rejected
from auth.store import Store
from auth.usage import FREE, Price, Usage
from auth.usage_report import usage


async def test_a_requests_life(store: Store, database_url: str) -> None:
    _, secret = await create_key(store, name="laptop", limits=[Limit("requests", "minute", 1)])
    access = await Access.open(database_url, OwnLeases(), replica="gateway-1")

    key = access.keys.identify(f"Bearer {secret}")
    row = LedgerRow("req-1", key.id, key.project, model_asked="m", prompt_tokens=12)
    access.ledger.begin(row)
    async with access.reserve(key, model="m", estimate=Usage(12, 100)) as reservation:
        access.ledger.follow(row.id, lambda: 3)
        reservation.settle(Usage(11, 7))
    access.ledger.record(replace(row, model="m", prompt_tokens=11, completion_tokens=7, status=200))
    with pytest.raises(Rejected):
        await access.reserve(key, model="m", estimate=Usage(12, 100)).__aenter__()

    assert access.degraded == []
    await access.close()
    (total,) = (await usage(store, since=row.created_at, until=row.created_at + 1)).sums
    assert (total.requests, total.prompt_tokens, total.completion_tokens) == (1, 11, 7)


async def test_what_cannot_be_opened_leaves_nothing_open(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(Exception, match="no such table"):
        await Access.open(f"sqlite:///{tmp_path_factory.mktemp('x') / 'empty.db'}", OwnLeases(), replica="gateway-1")


@pytest.mark.parametrize(
    ("limit", "counts"),
    [
        (Limit("tokens", "minute", 1), True),
        (Limit("cost", "day", 1), True),
        (Limit("requests", "minute", 1), False),
        (Limit("completion_tokens", "minute", 1), False),
        (Limit("concurrency", None, 1), False),
        (Limit("prompt_tokens", "minute", 1, model="other-*"), False),
    ],
)
async def test_it_says_whether_a_prompt_must_be_counted(
    store: Store, database_url: str, limit: Limit, counts: bool
) -> None:
    key, _ = await create_key(store, name="laptop", limits=[limit])
    access = await Access.open(database_url, OwnLeases(), replica="gateway-1")
    assert access.counts_prompts(key, model="m") is counts
    await access.close()


PRICE = Price(prompt=1, completion=2)


@pytest.mark.parametrize(
    ("limit", "price", "counts"),
    [
        (Limit("tokens", "minute", 1), FREE, True),
        (Limit("completion_tokens", "day", 1), FREE, True),
        (Limit("cost", "day", 1), PRICE, True),
        (Limit("cost", "day", 1), FREE, False),
        (Limit("requests", "minute", 1), PRICE, False),
        (Limit("prompt_tokens", "minute", 1), PRICE, False),
        (Limit("concurrency", None, 1), PRICE, False),
        (Limit("tokens", "minute", 1, model="other-*"), FREE, False),
    ],
)
async def test_it_says_whether_an_answers_tokens_are_counted(
    store: Store, database_url: str, limit: Limit, price: Price, counts: bool
) -> None:
    key, _ = await create_key(store, name="laptop", limits=[limit])
    access = await Access.open(database_url, OwnLeases(), replica="gateway-1")
    assert access.counts_completions(key, model="m", price=price) is counts
    await access.close()


async def test_a_key_is_what_it_has_been_changed_to(store: Store, database_url: str) -> None:
    old, _ = await create_key(store, name="laptop")
    await update_key(store, old.id, models=["a*"], scopes=["inference"])
    access = await Access.open(database_url, OwnLeases(), replica="gateway-1")
    now = access.current(old, model="abc")
    assert now is not None
    assert now.models == ("a*",)
    assert access.current(old, model="other") is None
    assert access.current(old, needs=["admin"]) is None
    await access.close()
