"""The ``raygate`` command."""

import typer

from gateway.cli.chat import chat
from gateway.cli.config import check, config
from gateway.cli.keys import keys
from gateway.cli.models import models
from gateway.cli.serve import serve
from gateway.cli.status import status
from gateway.cli.version import version

app = typer.Typer(
    help="A self-hosted, OpenAI-compatible gateway: it hosts the models, and says who may use them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
for command in (serve, check, config, models, chat, status, version):
    app.command()(command)
app.add_typer(keys, name="keys")
