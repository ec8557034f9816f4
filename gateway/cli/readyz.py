"""What ``GET /readyz`` says about each model."""

from dataclasses import dataclass

from gateway.cli.http import Unreachable, get


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


def ask(base_url: str) -> GatewayState:
    """Return what the gateway says.

    Raises:
        Unreachable: it does not answer yet.
    """
    body = get(base_url, "/readyz").body
    models = body.get("models")
    if not isinstance(models, dict):
        raise Unreachable(f"the gateway at {base_url} is still starting")
    states = [ModelState(name, it["state"], it.get("detail") or "") for name, it in models.items()]
    return GatewayState(body["status"], body.get("detail") or "", states)
