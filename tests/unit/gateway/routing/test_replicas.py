"""The private parts of Ray on which ``gateway/routing/replicas.py`` stands: a Ray that changes them is told here."""

import dataclasses
import inspect
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.serve._private.common import RunningReplicaInfo
from ray.serve._private.request_router.replica_wrapper import ReplicaSelection, RunningReplica
from ray.serve._private.request_router.request_router import RequestRouter
from ray.serve._private.router import AsyncioRouter, CurrentLoopRouter, SingletonThreadRouter
from ray.serve.handle import DeploymentHandle

from gateway.routing import replicas

ROOT = Path(__file__).parents[4]


def changed(what: str) -> str:
    """Return what to do about a change."""
    return (
        f"Ray {ray.__version__} changed {what}, on which gateway/routing/replicas.py relies. Read how Ray's own source"
        " does it now, mend that file, see tests/e2e/echo and tests/e2e/lifecycle pass, then put this test right;"
        " until then pin the former Ray in pyproject.toml."
    )


def source(of: Callable[..., Any] | type) -> str:
    return " ".join(inspect.getsource(of).split())


def test_the_installed_ray_is_the_pinned_one() -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    pins = [found[1] for each in dependencies if (found := re.fullmatch(r"ray\[serve\]==(\S+)", each))]
    assert pins == [ray.__version__], "Pin exactly one version of Ray in pyproject.toml, and install it."


def test_choose_replica_passes_its_options_on_to_the_router() -> None:
    signature = inspect.signature(DeploymentHandle.choose_replica)
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    assert inspect.Parameter.VAR_KEYWORD in kinds, changed("DeploymentHandle.choose_replica(**kwargs)")
    passes_on = "router.choose_replica(metadata, *args, **kwargs)"
    assert passes_on in source(DeploymentHandle._choose_replica), changed("DeploymentHandle._choose_replica")


def test_without_a_reservation_the_router_picks_and_asks_nobody() -> None:
    body = source(AsyncioRouter.choose_replica)
    assert 'request_kwargs.pop("_reserve", True)' in body, changed("choose_replica(_reserve=...)")
    assert "if not reserve: yield selection return" in body, changed("choose_replica(_reserve=False)")


def test_a_selection_holds_the_routers_record_of_the_replica() -> None:
    fields = {field.name for field in dataclasses.fields(ReplicaSelection)}
    assert {"replica_id", "_replica"} <= fields, changed("ReplicaSelection._replica")
    assert "_replica=replica" in source(AsyncioRouter.choose_replica), changed("ReplicaSelection._replica")


@pytest.mark.parametrize(("port", "endpoint"), [(30_000, ("10.0.0.7", 30_000)), (None, None)])
def test_a_replicas_endpoint_is_its_host_and_port_or_nothing(
    port: int | None, endpoint: replicas.Endpoint | None
) -> None:
    part = inspect.getattr_static(RunningReplica, "backend_http_endpoint", None)
    assert isinstance(part, property), changed("RunningReplica.backend_http_endpoint")
    replica = SimpleNamespace(_replica_info=SimpleNamespace(node_ip="10.0.0.7", backend_http_port=port))
    assert part.fget is not None
    assert part.fget(replica) == endpoint, changed("RunningReplica.backend_http_endpoint")


def test_a_replica_tells_its_node_and_its_metadata() -> None:
    fields = {field.name for field in dataclasses.fields(RunningReplicaInfo)}
    assert {"node_ip", "backend_http_port", "replica_metadata"} <= fields, changed("RunningReplicaInfo")
    assert isinstance(inspect.getattr_static(RunningReplica, "replica_metadata", None), property), changed(
        "RunningReplica.replica_metadata"
    )
    assert "self._replica_info" in source(RunningReplica.__init__), changed("RunningReplica._replica_info")


@pytest.mark.parametrize("router", [SingletonThreadRouter, CurrentLoopRouter])
def test_a_handle_leads_to_the_running_replicas(router: type) -> None:
    assert hasattr(DeploymentHandle("engine", "model"), "_router"), changed("DeploymentHandle._router")
    assert "self._asyncio_router = AsyncioRouter(" in source(router), changed(f"{router.__name__}._asyncio_router")
    parts = {AsyncioRouter: "request_router", RequestRouter: "curr_replicas"}
    missing = [
        name for owner, name in parts.items() if not isinstance(inspect.getattr_static(owner, name, None), property)
    ]
    assert missing == [], changed(", ".join(missing))
