"""Which models are ready, as Ray Serve's controller sees them."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import structlog
from ray import serve
from ray.serve.schema import ApplicationStatusOverview, ServeStatus

from gateway.config.settings import ModelEntry

State = Literal["starting", "ready", "refused", "unhealthy", "failed"]

ANSWERING = ("ready", "refused")
"""The states in which a model is asked. One that its provider refuses is asked on: its next success clears it."""

REFRESH_S = 2.0
"""How old the picture may be on the requests' way: asking Serve's controller costs 10 ms of this process's time."""

FRESH_S = 0.5
"""How old it may be for whoever asks for it."""

_BY_GRAVITY: tuple[State, ...] = ("ready", "refused", "starting", "unhealthy", "failed")

REFUSED = "its provider refuses us: see the model's URL, its name there, and the provider's key and account"
"""The detail of a model in the state ``refused``."""

_ROOT_CAUSE = re.compile(r"^(?:[\w.]+\.)?(\w*(?:Error|Exception|Interrupt|Exit)): (.+)$", re.MULTILINE)
_DETAIL_LIMIT = 500

log = structlog.get_logger("raygate.readiness")


@dataclass(frozen=True)
class ModelState:
    """The state of one model, with the reason when it is not ready."""

    state: State
    detail: str | None = None


def gravest(states: Iterable[ModelState]) -> State:
    """Return the state that says most about what is wrong: one that ``failed`` comes before any that may come back."""
    return max((state.state for state in states), key=_BY_GRAVITY.index, default="ready")


@contextlib.asynccontextmanager
async def watch_models(models: Iterable[ModelEntry]) -> AsyncGenerator["Readiness", None]:
    """Yield a picture of every model's state that a task keeps fresh."""
    readiness = Readiness(models)
    await readiness.refresh()
    task = asyncio.create_task(readiness.keep_fresh(), name="readiness")
    try:
        yield readiness
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Readiness:
    """A picture of every model's state, kept fresh by a task that runs ``keep_fresh``."""

    def __init__(self, models: Iterable[ModelEntry], status: Callable[[], ServeStatus] = serve.status) -> None:
        """Args: models: those to watch; status: asks Ray Serve's controller, and may block."""
        self._models = tuple(models)
        self._status = status
        self._states = {model.name: ModelState("starting") for model in self._models}
        self._refused: set[str] = set()
        self._refreshed_at = -FRESH_S
        self._one_refresh = asyncio.Lock()

    async def is_ready(self, model: str) -> bool:
        """Say whether a model has a running replica; a no is never older than ``FRESH_S``."""
        return self._states[model].state == "ready" or (await self.all())[model].state in ANSWERING

    def refused(self, model: str) -> None:
        """Note that a model's provider has refused us, as this gateway replica has seen."""
        if model not in self._refused:
            self._refused.add(model)
            log.error("model state", model=model, state="refused", detail=REFUSED)

    def taken(self, model: str) -> None:
        """Note that a model answers."""
        if model in self._refused:
            self._refused.remove(model)
            log.info("model state", model=model, state="ready", detail=None)

    async def all(self) -> dict[str, ModelState]:
        """Return every model's state now, in the order of the configuration."""
        async with self._one_refresh:
            if time.monotonic() - self._refreshed_at > FRESH_S:
                await self.refresh()
        return {model: self._shown(model, state) for model, state in self._states.items()}

    def _shown(self, model: str, state: ModelState) -> ModelState:
        return ModelState("refused", REFUSED) if state.state == "ready" and model in self._refused else state

    async def keep_fresh(self) -> None:
        """Refresh until cancelled."""
        while True:
            await asyncio.sleep(REFRESH_S)
            await self.refresh()

    async def refresh(self) -> None:
        """Ask the controller once; while it does not answer, as during its own restart, the last picture stands."""
        try:
            status = await asyncio.to_thread(self._status)
        except Exception as error:  # Ray raises many kinds
            log.warning("cannot read the state of the models", error=type(error).__name__)
            return
        for model in self._models:
            before = self._states[model.name]
            now = state_of(status.applications.get(model.application), before)
            if now != before:
                log.info("model state", model=model.name, state=now.state, detail=now.detail)
            self._states[model.name] = now
        self._refreshed_at = time.monotonic()


def state_of(application: ApplicationStatusOverview | None, before: ModelState) -> ModelState:
    """Return a model's state from Serve's overview of its application.

    A model with a running replica is ready, whatever its other replicas do; one that was ready and has none left is
    unhealthy until it is back.
    """
    if application is None:
        return ModelState("starting", "not deployed yet")
    deployments = application.deployments.values()
    if any(deployment.replica_states.get("RUNNING", 0) for deployment in deployments):
        return ModelState("ready")
    messages = [application.message, *(deployment.message for deployment in deployments)]
    detail = root_cause("\n".join(message for message in messages if message))
    if application.status == "DEPLOY_FAILED":
        return ModelState("failed", detail)
    state: State = "unhealthy" if before.state in ("ready", "unhealthy") else "starting"
    return ModelState(state, detail)


def root_cause(message: str) -> str | None:
    """Return the last exception in Serve's message, which may hold whole tracebacks, as one short line."""
    causes = _ROOT_CAUSE.findall(message)
    if causes:
        kind, text = causes[-1]
        line = text if kind == "EngineStartError" else f"{kind}: {text}"
    else:
        line = message.strip().partition("\n")[0]
    return line[:_DETAIL_LIMIT] or None
