"""The ``raygate`` command."""

import typer

from gateway.cli.audit import audit
from gateway.cli.chat import chat
from gateway.cli.config import check, config
from gateway.cli.db import db
from gateway.cli.doctor import doctor
from gateway.cli.index import index
from gateway.cli.keys import keys
from gateway.cli.limits import limits
from gateway.cli.models import models
from gateway.cli.projects import projects
from gateway.cli.refusals import refusals
from gateway.cli.serve import serve
from gateway.cli.status import status
from gateway.cli.usage import usage
from gateway.cli.version import version

app = typer.Typer(
    help="A self-hosted, OpenAI-compatible gateway: it hosts the models, and says who may use them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
for command in (serve, check, config, models, chat, index, status, usage, refusals, audit, doctor, version):
    app.command()(command)
for name, group in (("projects", projects), ("keys", keys), ("limits", limits), ("db", db)):
    app.add_typer(group, name=name)
