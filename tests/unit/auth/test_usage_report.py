import time

import pytest

from auth.errors import InvalidValue
from auth.ledger_row import LedgerRow
from auth.ledger_write import Batch, write
from auth.store import Store
from auth.usage_report import usage

DAY_S = 86_400
MIDNIGHT = 20_000 * DAY_S


def a_row(key: str, model: str, day: int, tokens: int, project: str = "default") -> LedgerRow:
    return LedgerRow(
        request_id="r",
        key_id=key,
        project_id=project,
        model_asked=model,
        model=model,
        completion_tokens=tokens,
        status=200,
        created_at=MIDNIGHT + day * DAY_S + 3600,
    )


@pytest.fixture
async def filled(store: Store) -> Store:
    rows = [
        a_row("key_a", "m1", 0, 1),
        a_row("key_a", "m2", 1, 2),
        a_row("key_b", "m1", 1, 4),
        a_row("key_b", "m1", 2, 8, project="other"),
    ]
    await write(store, Batch("gateway-1", rows, [], {}))
    return store


async def test_one_sum_of_everything(filled: Store) -> None:
    page = await usage(filled, since=MIDNIGHT, until=MIDNIGHT + 3 * DAY_S)
    assert [(total.requests, total.completion_tokens) for total in page.sums] == [(4, 15)]


async def test_nothing_at_all_is_a_sum_of_zero(store: Store) -> None:
    page = await usage(store, since=0, until=time.time())
    assert [(total.requests, total.cost) for total in page.sums] == [(0, 0.0)]


async def test_sums_by_key_and_model(filled: Store) -> None:
    page = await usage(filled, since=MIDNIGHT, until=MIDNIGHT + 3 * DAY_S, group_by=["key", "model"])
    assert [(*total.group.values(), total.completion_tokens) for total in page.sums] == [
        ("key_a", "m1", 1),
        ("key_a", "m2", 2),
        ("key_b", "m1", 12),
    ]


async def test_sums_by_day_are_the_calendars_in_utc(filled: Store) -> None:
    page = await usage(filled, since=MIDNIGHT, until=MIDNIGHT + 3 * DAY_S, group_by=["day"])
    assert [(total.group["day"], total.completion_tokens) for total in page.sums] == [
        (MIDNIGHT, 1),
        (MIDNIGHT + DAY_S, 6),
        (MIDNIGHT + 2 * DAY_S, 8),
    ]


async def test_only_what_is_asked_for(filled: Store) -> None:
    since, until = MIDNIGHT + DAY_S, MIDNIGHT + 2 * DAY_S
    assert (await usage(filled, since=since, until=until)).sums[0].completion_tokens == 6
    assert (await usage(filled, since=since, until=until, key="key_b")).sums[0].completion_tokens == 4
    assert (await usage(filled, since=0, until=until * 2, project="other")).sums[0].completion_tokens == 8
    assert (await usage(filled, since=0, until=until * 2, model="m2")).sums[0].completion_tokens == 2


async def test_pages_follow_each_other_without_gap_or_overlap(filled: Store) -> None:
    groups, cursor = [], None
    for _ in range(3):
        page = await usage(filled, since=0, until=MIDNIGHT * 2, group_by=["key", "day"], limit=2, cursor=cursor)
        groups += [tuple(total.group.values()) for total in page.sums]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert groups == sorted(set(groups))
    assert len(groups) == 4
    assert cursor is None


@pytest.mark.parametrize(
    "question",
    [
        {"group_by": ["colour"]},
        {"group_by": ["key", "key"]},
        {"limit": 0},
        {"limit": 100_000},
        {"group_by": ["key"], "cursor": "nonsense"},
        {"group_by": ["key"], "cursor": "W10="},
        {"group_by": ["key"], "cursor": "é"},
    ],
)
async def test_an_impossible_question_is_refused(store: Store, question: dict[str, object]) -> None:
    with pytest.raises(InvalidValue):
        await usage(store, since=0, until=1, **question)
