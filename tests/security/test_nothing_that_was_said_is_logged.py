"""Nothing that was said is logged, and no secret."""

import contextlib
import sqlite3

from gateway import paths
from tests.e2e.running import KEY
from tests.security.conftest import Cluster
from tests.security.table import ASKING

PROMPT = "xyzzy-the-prompt"


def test_no_prompt_answer_or_secret_is_in_any_log(cluster: Cluster) -> None:
    holder = cluster.key()
    said = {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": 2}
    assert holder.http.post(paths.CHAT, json={"model": "echo", **said}).status_code == 200
    assert holder.http.post(paths.CHAT, json={"model": "echo", **said, PROMPT: PROMPT}).status_code == 400
    assert holder.http.get(f"/{PROMPT}?{PROMPT}={PROMPT}").status_code == 404
    assert holder.http.post(paths.CHAT, json={"model": PROMPT, **ASKING[paths.CHAT].body}).status_code == 404
    logs = cluster.running.logs() + cluster.running.output.read_text()
    assert [word for word in (PROMPT, KEY, holder.secret) if word in logs] == []


def test_no_secret_is_in_the_database(cluster: Cluster) -> None:
    holder = cluster.key()
    with contextlib.closing(sqlite3.connect(cluster.running.home / "raygate.db")) as database:
        dump = "\n".join(database.iterdump())
    assert holder.key["id"] in dump
    assert holder.secret not in dump
