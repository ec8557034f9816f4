"""What has to be there before the cluster starts: the database, a first key, and the embedded models as folders."""

import subprocess
import sys
from pathlib import Path

from auth.keys import INFERENCE, METRICS, create_key, list_keys
from gateway.cluster.database import open_store
from gateway.config.schema import EMBEDDED, Config

FIRST_KEY = "first"
"""The name of the key that is made at the first start."""


async def prepare_store(config: Config, home: Path, secret: str | None) -> str | None:
    """Bring the database up to date; return the first key's secret when it has just been made.

    Args:
        config: may name another database than SQLite in ``home``.
        home: where that lies.
        secret: what the first key is to be; ``None`` draws one.

    Raises:
        AuthError: the database's URL or ``secret`` is of no use.
        OperatorMistake: the database does not answer.
    """
    async with open_store(config.database_url, home) as store:
        if await list_keys(store, limit=1):
            return None
        # Who installs Raygate also watches it.
        return (await create_key(store, name=FIRST_KEY, secret=secret, scopes=[INFERENCE, METRICS]))[1]


def missing_embedded(config: Config, home: Path) -> list[str]:
    """Return the embedded models that have not been converted to folders yet."""
    sources = [model.source for model in config.models if model.source and model.source.startswith(EMBEDDED)]
    names = dict.fromkeys(source.removeprefix(EMBEDDED) for source in sources)
    return [name for name in names if not (home / "models" / name).is_dir()]


def convert_embedded(name: str, home: Path) -> subprocess.Popen[str]:
    """Start to convert an embedded model; a process of its own, since it loads what the gateway must not."""
    command = [sys.executable, "-m", "engines.embedded", name, "--home", str(home)]
    return subprocess.Popen(  # noqa: S603 - this interpreter and a module of ours
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
