"""Raygate without keys, limits and ledger: the same path, to see what these cost.

``python -m benchmarks.ungoverned PORT HOME`` serves ``benchmarks/echo.yaml`` so until SIGTERM.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import Application

from auth.access import Access
from auth.keys import Key
from auth.usage import Price, Usage
from gateway.app import create_app
from gateway.cluster.supervisor import Cluster
from gateway.config.check import load
from gateway.config.settings import GatewaySettings
from gateway.responses.background import Background
from gateway.responses.late_ends import LateEnds
from gateway.services import open_services

CONFIG = Path(__file__).with_name("echo.yaml")
ANYBODY = Key("key_anybody", "anybody", "proj_anybody", "sk-", b"", ("inference",), ("*",), (), 0.0)


class NoLedger:
    """Forgets everything."""

    def begin(self, row: Any, price: Price | None = None) -> None:
        """Note nothing."""

    def progress(self, row_id: str, completion_tokens: int) -> None:
        """Note nothing."""

    def record(self, row: Any) -> None:
        """Note nothing."""


@dataclass(frozen=True)
class NoReservation:
    """Admits everybody, and charges nobody."""

    estimate: Usage
    headers: tuple[()] = ()

    async def __aenter__(self) -> "NoReservation":
        return self

    async def __aexit__(self, *exception: object) -> None:
        pass

    def settle(self, usage: Usage, price: Price | None = None) -> None:
        """Charge nothing."""

    def amend(self, usage: Usage, price: Price | None = None) -> None:
        """Charge nothing."""

    def cancel(self) -> None:
        """Charge nothing."""


@dataclass(frozen=True)
class OpenDoor:
    """What stands in the place of ``auth.access.Access`` where models are asked; the rest is the real one's."""

    real: Access
    ledger: NoLedger = field(default_factory=NoLedger)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def identify(self, authorization: bytes | None) -> Key:
        """Let anybody in."""
        return ANYBODY

    def current(self, key: Key, needs: Sequence[str], model: str | None) -> Key:
        """Let everybody stay."""
        return key

    def counts_prompts(self, key: Key, *, model: str, asked: str) -> bool:
        """Count nothing."""
        return False

    def counts_completions(self, key: Key, *, model: str, price: Price, asked: str) -> bool:
        """Count nothing."""
        return False

    def reserve(self, key: Key, *, model: str, asked: str, estimate: Usage, price: Price) -> NoReservation:
        """Reserve nothing."""
        return NoReservation(estimate)


@serve.deployment(name="gateway")
@serve.ingress()
class Ungoverned:
    """A gateway replica without its guards."""

    async def __init__(self, settings: GatewaySettings) -> None:  # type: ignore[misc]  # Serve awaits it
        self._services = open_services(settings, "ungoverned")
        services = await self._services.__aenter__()
        background = Background(
            services.access.store, "ungoverned", settings.responses, LateEnds(settings.home / "responses")
        )
        self._asgi = create_app(replace(services, access=OpenDoor(services.access)), background)  # type: ignore[arg-type]

    def __serve_build_asgi_app__(self) -> Any:
        return self._asgi


def build(args: dict[str, Any]) -> Application:
    """Return the gateway's application without its guards."""
    return Ungoverned.bind(GatewaySettings.model_validate(args))  # type: ignore[attr-defined]  # the decorator's doing


class UngovernedCluster(Cluster):
    """A cluster whose gateway is the one above."""

    def compiled(self) -> dict[str, Any]:
        """Return the Ray Serve config, with the other gateway in it."""
        config = super().compiled()
        config["applications"][0]["import_path"] = "benchmarks.ungoverned:build"
        return config


def main(port: int, home: Path) -> None:
    """Serve until SIGTERM."""
    os.environ["PYTHONPATH"] = str(CONFIG.parents[1])
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: ended.append(number))
    with UngovernedCluster(load(CONFIG), home=home, host="127.0.0.1", port=port) as cluster:
        while cluster.is_running() and not ended:
            time.sleep(0.1)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
