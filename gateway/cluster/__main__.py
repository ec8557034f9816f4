"""The process that runs Ray and Ray Serve: ``python -m gateway.cluster COMPILED NUM_CPUS FOLDER PARENT``.

It is a process of its own so that the command line can end it, and whatever it started, even when it hangs.
Everything else that Ray needs to know comes through the environment: see ``gateway.cluster.environment``.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from gateway.cluster.processes import adopt_orphans, end_descendants, end_with_parent

OBJECT_STORE_BYTES = 200 * 2**20
"""Ray's shared memory: request bodies pass over plain HTTP, so almost nothing is kept there."""

_WATCH_S = 1


def main(compiled: Path, num_cpus: float, folder: Path, parent: int) -> None:
    """Start Ray and the applications of a Serve config file, and stay until a signal comes.

    Args:
        compiled: the Serve config file.
        num_cpus: cores that Ray may set aside; more than there are, when the models ask for them.
        folder: where Ray keeps its session, with a path short enough for Unix sockets.
        parent: the id of the process that started this one, and whose end is this one's end.
    """
    end_with_parent(signal.SIGTERM, parent)
    adopt_orphans()  # HAProxy outlives a Serve controller that is killed

    import ray
    from ray.serve.scripts import cli

    ending = threading.Event()
    watch = threading.Thread(target=_end_when_the_gateway_fails, args=[ending])
    try:
        ray.init(
            address="local",
            namespace="serve",
            num_cpus=num_cpus,
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            _temp_dir=str(folder),
        )
        _stop_in_order(ending)  # only now: Ray puts handlers of its own in place
        watch.start()
        cli(["run", str(compiled)], standalone_mode=False)  # returns or raises after it has shut Serve down
    finally:
        ending.set()
        if watch.is_alive():
            watch.join()
        ray.shutdown()
        end_descendants(terminate_s=0)


def _stop_in_order(ending: threading.Event) -> None:
    """Turn SIGTERM into what Serve's own command takes for its end: it lets requests finish, then stops."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        # A second signal must not break off what the first one began.
        for again in (signal.SIGTERM, signal.SIGINT):
            signal.signal(again, signal.SIG_IGN)
        ending.set()
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, interrupt)


def _end_when_the_gateway_fails(ending: threading.Event) -> None:
    """A model that fails leaves the others running, but without the gateway nothing can be reached."""
    from ray import serve
    from ray.serve.schema import ApplicationStatus

    from gateway.routing.readiness import root_cause

    while not ending.wait(_WATCH_S):
        gateway = serve.status().applications.get("gateway")
        if gateway and gateway.status == ApplicationStatus.RUNNING:
            return
        if gateway and gateway.status == ApplicationStatus.DEPLOY_FAILED:
            said = "\n".join([gateway.message, *(each.message for each in gateway.deployments.values())])
            print(f"The gateway could not start: {root_cause(said)}", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGTERM)
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
