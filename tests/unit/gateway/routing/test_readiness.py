import pytest
from ray.serve.schema import ApplicationStatusOverview, DeploymentStatusOverview, ServeStatus
from structlog.testing import capture_logs

from gateway.config.settings import ModelEntry
from gateway.routing.readiness import REFUSED, ModelState, Readiness, State, gravest, state_of

MODEL = ModelEntry(name="hosted", engine="upstream")
TRACEBACK = "Traceback (most recent call last):\nengines.base.EngineStartError: the folder holds no weights\n"


def overview(status: str, message: str = "", **replicas: int) -> ApplicationStatusOverview:
    deployment = DeploymentStatusOverview("UPDATING", "CONFIG_UPDATE_STARTED", replicas, message)
    return ApplicationStatusOverview(status, message, 0.0, {"engine": deployment})


def test_a_model_that_cannot_start_has_failed_with_its_root_cause() -> None:
    failed = state_of(overview("DEPLOY_FAILED", TRACEBACK), ModelState("starting"))
    assert failed == ModelState("failed", "the folder holds no weights")


def test_a_model_with_one_running_replica_is_ready_whatever_the_others_do() -> None:
    assert state_of(overview("DEPLOY_FAILED", TRACEBACK, RUNNING=1), ModelState("starting")) == ModelState("ready")


def test_a_model_that_was_ready_is_unhealthy_until_it_is_back() -> None:
    gone = state_of(overview("DEPLOYING", STARTING=1), ModelState("ready"))
    assert gone.state == "unhealthy"
    assert state_of(overview("DEPLOYING", STARTING=1), gone).state == "unhealthy"
    assert state_of(overview("RUNNING", RUNNING=1), gone).state == "ready"


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["ready", "failed", "starting"], "failed"),
        (["unhealthy", "failed"], "failed"),
        (["ready", "starting", "unhealthy"], "unhealthy"),
        (["ready", "starting"], "starting"),
        (["refused", "starting"], "starting"),
        (["ready", "refused"], "refused"),
        (["ready", "ready"], "ready"),
        ([], "ready"),
    ],
)
def test_the_gateway_is_as_well_off_as_its_worst_model(states: list[State], expected: State) -> None:
    assert gravest(map(ModelState, states)) == expected


def running() -> ServeStatus:
    return ServeStatus(applications={MODEL.application: overview("RUNNING", RUNNING=1)})


async def test_a_model_whose_provider_refuses_us_says_so_and_is_asked_on() -> None:
    readiness = Readiness([MODEL], running)
    readiness.refused("hosted")
    assert await readiness.all() == {"hosted": ModelState("refused", REFUSED)}
    assert await readiness.is_ready("hosted")


async def test_a_success_clears_the_refusal() -> None:
    readiness = Readiness([MODEL], running)
    readiness.refused("hosted")
    readiness.taken("hosted")
    assert await readiness.all() == {"hosted": ModelState("ready")}


async def test_a_refusal_is_logged_once() -> None:
    readiness = Readiness([MODEL], running)
    with capture_logs() as logs:
        readiness.refused("hosted")
        readiness.refused("hosted")
    assert [(event["model"], event["state"], event["log_level"]) for event in logs] == [("hosted", "refused", "error")]
