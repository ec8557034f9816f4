import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gateway.cluster.ports import BLOCK, NAMED, Ports, claim

LOWEST = ("RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT", "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT")


@pytest.fixture
def ports() -> Iterator[Ports]:
    claimed = claim(())
    yield claimed
    claimed.release()


def held(ports: Ports) -> int:
    """Return the port that stands for the block."""
    return int(ports.settings[NAMED[0]]) - 1


def test_the_ports_of_a_run_differ(ports: Ports) -> None:
    assert len(set(ports.settings.values())) == len(ports.settings) == 8


def test_two_runs_start_in_blocks_of_their_own(ports: Ports) -> None:
    second = claim(())
    try:
        apart = [abs(int(second.settings[name]) - int(ports.settings[name])) for name in (*NAMED, *LOWEST)]
        assert all(distance >= BLOCK for distance in apart)
    finally:
        second.release()


def test_where_clients_connect_is_none_of_them(ports: Ports) -> None:
    second = claim({held(ports) + BLOCK + 3})
    try:
        assert held(second) >= held(ports) + 2 * BLOCK
    finally:
        second.release()


def test_a_released_block_can_be_claimed_again(ports: Ports) -> None:
    ports.release()
    with socket.socket() as again:
        again.bind(("127.0.0.1", held(ports)))


def test_the_block_of_a_run_that_is_killed_is_free() -> None:
    program = "import sys; from gateway.cluster.ports import NAMED, claim; ports = claim(()); "
    program += "print(ports.settings[NAMED[0]], flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        block = int(run.stdout.readline()) - 1
        with socket.socket() as taken, pytest.raises(OSError, match="in use"):
            taken.bind(("127.0.0.1", block))
        run.kill()
    with socket.socket() as free:
        free.bind(("127.0.0.1", block))


def test_a_block_in_which_another_program_listens_is_passed_over(ports: Ports) -> None:
    with socket.create_server(("127.0.0.1", int(ports.settings[NAMED[-1]]))):
        ports.release()
        second = claim(())
        assert held(second) != held(ports)
        second.release()
