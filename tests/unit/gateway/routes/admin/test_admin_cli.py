"""The commands that work on the database itself."""

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from auth.ledger_row import LedgerRow
from auth.ledger_write import Batch, write
from auth.limit_text import read_limits, write_limit
from auth.refusals import Refusal, Refusals
from auth.store import Store, sqlite_url
from gateway.cli.main import app

COMMANDS = (
    ["projects", "create"],
    ["projects", "list"],
    ["projects", "show"],
    ["projects", "archive"],
    ["keys", "show"],
    ["keys", "update"],
    ["keys", "rotate"],
    ["limits", "show"],
    ["limits", "set"],
    ["limits", "clear"],
    ["usage"],
    ["refusals"],
    ["audit"],
    ["db", "upgrade"],
    ["db", "check"],
    ["db", "export"],
)


class Cli:
    """The command line, on a database of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._runner = CliRunner(env={"RAYGATE_HOME": str(home), "COLUMNS": "200"})

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Run a command; return what it prints, or what it complains of."""
        result = self._runner.invoke(app, list(arguments))
        assert result.exit_code == code, result.output
        return result.stdout if code == 0 else result.stderr

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json"))


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "home")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_shows_an_example(cli: Cli, command: list[str]) -> None:
    assert f"Example: raygate {' '.join(command)}" in cli(*command, "--help")


def test_a_project_is_made_shown_listed_and_archived(cli: Cli) -> None:
    made = cli.json("projects", "create", "research", "--limit", "money/month=99.5")
    assert made["limits"] == ["money/month=99.5"]
    assert cli.json("projects", "show", "research") == made
    assert cli("projects", "archive", "research") == f"archived research ({made['id']})\n"
    states = {project["name"]: project["state"] for project in cli.json("projects", "list")}
    assert states == {"default": "active", "research": "archived"}


def test_a_key_is_made_with_all_that_bounds_it(cli: Cli) -> None:
    project = cli.json("projects", "create", "research")["id"]
    bounds = ["--project", "research", "--model", "gpt-*", "--scope", "admin", "--scope", "inference"]
    made = cli.json("keys", "create", "alice", *bounds, "--limit", "concurrency=4", "--expires", "2031-01-01")
    assert (made["project"], made["models"], made["scopes"]) == (project, ["gpt-*"], ["admin", "inference"])
    assert (made["limits"], made["expires_at"]) == (["concurrency=4"], "2031-01-01T00:00:00Z")
    assert made.pop("secret").startswith("sk-")
    assert cli.json("keys", "show", "alice") == made


def test_only_what_is_given_of_a_key_changes(cli: Cli) -> None:
    cli("keys", "create", "alice", "--limit", "concurrency=4", "--model", "a")
    changed = cli.json("keys", "update", "alice", "--name", "bob", "--disable")
    assert (changed["name"], changed["state"], changed["models"]) == ("bob", "disabled", ["a"])
    changed = cli.json("keys", "update", "bob", "--enable", "--limit", "requests/day=5")
    assert (changed["state"], changed["limits"]) == ("active", ["requests/day=5"])


def test_a_rotated_key_has_another_secret(cli: Cli) -> None:
    first = cli("keys", "create", "alice").strip()
    second = cli("keys", "rotate", "alice", "--overlap", "60").strip()
    assert second.startswith("sk-")
    assert first != second


def test_limits_are_set_one_by_one_and_cleared_by_name(cli: Cli) -> None:
    cli("keys", "create", "alice")
    cli("limits", "set", "alice", "--limit", "requests/minute=60", "--limit", "money/month=10@gpt-*")
    shown = cli.json("limits", "set", "alice", "--limit", "requests/minute=30", "--limit", "concurrency=4")
    assert [limit["limit"] for limit in shown] == ["requests/minute=30", "money/month=10@gpt-*", "concurrency=4"]
    left = cli.json("limits", "clear", "alice", "--limit", "requests/minute", "--limit", "money/month@gpt-*")
    assert [limit["limit"] for limit in left] == ["concurrency=4"]
    assert cli.json("limits", "clear", "alice") == []


def test_limits_of_a_project_are_set_by_its_name_or_id(cli: Cli) -> None:
    cli("limits", "set", "default", "--limit", "tokens/day=1000000")
    assert cli("limits", "show", "default", "--csv").splitlines() == [
        "limit,of,per,amount,model",
        "tokens/day=1000000,tokens,day,1000000,*",
    ]


def test_a_name_that_a_key_and_a_project_share_is_ambiguous(cli: Cli) -> None:
    cli("projects", "create", "both")
    made = cli.json("keys", "create", "both")
    assert "use the id" in cli("limits", "show", "both", code=2)
    assert cli.json("limits", "show", made["id"]) == []


@pytest.mark.parametrize(
    "text",
    [
        "requests",
        "requests/minute",
        "requests/minute=",
        "requests/minute=-1",
        "requests/hour=1",
        "requests/day=1.5",
        "requests/day=1e99",
        "requests/day=nan",
        "tokens/day=1e",
        "concurrency/day=1",
        "money/minute=1",
        "gold/day=1",
        "=1",
    ],
)
def test_a_limit_that_is_none_is_a_mistake_in_one_line(cli: Cli, text: str) -> None:
    said = cli("projects", "create", "research", "--limit", text, code=2)
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "text",
    [
        "requests/minute=60",
        "tokens/day=1000000",
        "prompt_tokens/minute=20000",
        "completion_tokens/month=0@a b@c=d",
        "concurrency=4",
        "money/month=10@gpt-*",
        "money/day=0.005",
    ],
)
def test_a_limit_is_written_as_it_is_read(text: str) -> None:
    assert [write_limit(limit) for limit in read_limits([text])] == [text]


def test_a_name_in_square_brackets_is_shown_as_it_is(cli: Cli) -> None:
    cli("projects", "create", "[red]a[/red]")
    assert "[red]a[/red]" in cli("projects", "list")


def test_json_and_csv_at_once_is_a_mistake(cli: Cli) -> None:
    assert cli("keys", "list", "--json", "--csv", code=2) == "choose --json or --csv\n"


def test_the_audit_log_tells_what_changed(cli: Cli) -> None:
    made = cli.json("keys", "create", "alice", "--limit", "concurrency=4")
    cli("limits", "set", "alice", "--limit", "concurrency=5")
    newest, *_ = cli.json("audit", "--subject", made["id"], "--last", "1")
    assert (newest["actor"], newest["action"]) == ("cli", "key.update")
    assert newest["change"] == "limits: concurrency=4 -> concurrency=5"
    assert "secret" not in cli("audit", "--json")


def used(cli: Cli, *rows: LedgerRow) -> None:
    async def fill() -> None:
        store = Store(sqlite_url(cli.home))
        await store.migrate()
        await write(store, Batch("gateway-1", list(rows), [], {}))
        await store.close()

    asyncio.run(fill())


def row(**fields: Any) -> LedgerRow:
    return LedgerRow("r", "key_a", "default", "m", **{"model": "m", "status": 200, **fields})


def test_usage_by_model_and_day(cli: Cli) -> None:
    day = 978_307_200  # 2001-01-01
    used(cli, row(created_at=day, completion_tokens=3), row(created_at=day + 86_400, model="n", cost=0.25))
    span = ["--since", "2001-01-01", "--until", "2001-01-03"]
    assert cli("usage", "--by", "model", "--by", "day", *span, "--csv").splitlines() == [
        "model,day,requests,errors,prompt_tokens,cached_tokens,completion_tokens,cost",
        "m,2001-01-01,1,0,0,0,3,0",
        "n,2001-01-02,1,0,0,0,0,0.25",
    ]
    assert cli.json("usage", *span, "--model", "n")[0]["cost"] == 0.25


def test_what_was_not_let_in_is_summed_by_key_model_and_reason(cli: Cli) -> None:
    async def refuse() -> None:
        store = Store(sqlite_url(cli.home))
        await store.migrate()
        refusals = Refusals(store, lambda: 978_307_200.0)  # 2001-01-01
        for code in ("rate_limit_exceeded", "rate_limit_exceeded", "insufficient_quota"):
            refusals.count(Refusal("key_a", "default", "m", 429, code))
        await refusals.flush()
        await store.close()

    asyncio.run(refuse())
    span = ["--since", "2001-01-01", "--until", "2001-01-02"]
    assert cli("refusals", *span, "--csv").splitlines() == [
        "key,project,model,status,code,refusals,last",
        "key_a,default,m,429,rate_limit_exceeded,2,2001-01-01T00:00:00Z",
        "key_a,default,m,429,insufficient_quota,1,2001-01-01T00:00:00Z",
    ]
    assert cli.json("refusals", *span, "--key", "key_b") == []
    assert cli("db", "check").splitlines()[1] == "ledger: 3 requests, and the hourly sums agree with them"


def test_an_unknown_group_is_a_mistake(cli: Cli) -> None:
    assert cli("usage", "--by", "user", code=2).startswith("group_by: any of key")


def test_the_ledger_is_exported_a_line_a_request(cli: Cli) -> None:
    used(cli, row(completion_tokens=3, user='a "quoted", name'), row())
    header, first, second = cli("db", "export").splitlines()
    assert header.startswith("id,request_id,key_id,project_id,model_asked")
    assert '"a ""quoted"", name"' in first + second
    rows = [json.loads(line) for line in cli("db", "export", "--json").splitlines()]
    assert sorted(line["completion_tokens"] for line in rows) == [0, 3]
    assert cli("db", "export", "--until", "2001-01-01").splitlines() == [header]


def test_check_says_that_rows_and_sums_agree_or_not(cli: Cli) -> None:
    used(cli, row(completion_tokens=3))
    assert "ledger: 1 requests, and the hourly sums agree" in cli("db", "check")
    with sqlite3.connect(cli.home / "raygate.db") as database:
        database.execute("UPDATE usage_hours SET completion_tokens = 4")
    assert "the rows sum to (1, 0, 0, 3), the hours to (1, 0, 0, 4)" in cli("db", "check", code=1)


def test_check_asks_for_an_upgrade_where_there_is_no_schema(cli: Cli) -> None:
    assert "run 'raygate db upgrade'" in cli("db", "check", code=1)
    assert cli("db", "upgrade").endswith(", the newest\n")
    assert "hourly sums agree" in cli("db", "check")
