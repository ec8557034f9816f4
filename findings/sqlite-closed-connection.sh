#!/usr/bin/env bash
# A closed SQLite connection keeps its write lock for as long as anybody holds a statement of it.
set -eu
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$room"
python3.11 -m venv venv
venv/bin/pip install -q aiosqlite==0.22.1
timeout 60 venv/bin/python - <<'EOF'
import asyncio
import sqlite3
from importlib.metadata import version

import aiosqlite

print(f"aiosqlite {version('aiosqlite')}, SQLite {sqlite3.sqlite_version}")


async def fails_in_the_middle() -> None:
    async with aiosqlite.connect("a.db", isolation_level=None) as connection:
        await connection.execute("BEGIN IMMEDIATE")
        row = await connection.execute("INSERT INTO t VALUES (1) RETURNING x")
        raise ValueError  # before the row was fetched


async def write() -> str:
    async with aiosqlite.connect("a.db", isolation_level=None, timeout=0.5) as connection:
        try:
            await connection.execute("INSERT INTO t VALUES (2)")
        except sqlite3.OperationalError as error:
            return str(error)
        return "written"


async def main() -> None:
    async with aiosqlite.connect("a.db") as connection:
        await connection.execute("CREATE TABLE t (x)")
    try:
        await fails_in_the_middle()
    except ValueError as error:
        kept = error  # as a finished asyncio.Task keeps it: the traceback holds the statement
    while_kept = await write()
    del kept
    afterwards = await write()
    print(f"the connection is closed; another one writes: {while_kept}")
    print(f"the exception that left it is let go; another one writes: {afterwards}")
    assert (while_kept, afterwards) == ("database is locked", "written"), "the behaviour has changed"


asyncio.run(main())
EOF
