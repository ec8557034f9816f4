"""What ``GET /readyz`` says about each model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gateway.cli.http import Unreachable, get

_HERE = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True)
class ModelState:
    """One model's state: ``starting``, ``ready``, ``refused``, ``unhealthy`` or ``failed``, and why."""

    name: str
    state: str
    detail: str


@dataclass(frozen=True)
class GatewayState:
    """The state of the gateway as a whole (its gravest model's, or ``degraded``), why, and of each model."""

    status: str
    detail: str
    models: list[ModelState]


def ask(base_url: str, *, api_key: str = "", home: Path | None = None) -> GatewayState:
    """Return what the gateway says; of its models it tells only whom it knows.

    Args:
        base_url: where it answers.
        api_key: a key, whose models are told.
        home: its folder, if it runs on this machine: who may read the secret in it is told of every model.

    Raises:
        Unreachable: it does not answer yet.
    """
    body = get(base_url, "/readyz", api_key=api_key, headers=_secret(home)).body
    if not isinstance(body.get("status"), str):
        raise Unreachable(f"the gateway at {base_url} is still starting")
    models = body.get("models") or {}
    states = [ModelState(name, it["state"], it.get("detail") or "") for name, it in models.items()]
    return GatewayState(body["status"], body.get("detail") or "", states)


def is_here(base_url: str) -> bool:
    """Say whether an address is surely this machine's: no other is to be shown its secret."""
    return urlsplit(base_url).hostname in _HERE


def _secret(home: Path | None) -> Mapping[str, str]:
    from engines.base import TOKEN_HEADER, internal_token

    if home is None or not (home / "secrets").is_dir():
        return {}
    try:
        return {TOKEN_HEADER.decode(): internal_token(home)}
    except OSError:  # somebody else's
        return {}
