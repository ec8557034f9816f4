"""Ends a family of processes to the last one, whatever its members do.

Ray's daemons, HAProxy and vLLM's engine cores are children of children, and outlive a parent that dies. Linux hands
an orphan to the nearest ancestor that asked to adopt: this process asks, so every descendant stays in sight.
"""

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Sequence

import psutil

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
"""From ``linux/prctl.h``."""


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies; see ``prctl(2)``.

    Raises:
        OSError: when the kernel does not know how (Linux before 3.4).
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent(signal_number: signal.Signals, parent: int) -> None:
    """Ask the kernel to send this process a signal when its parent dies.

    Args:
        signal_number: what to send.
        parent: the expected parent's id: when it is already gone, the signal is sent at once.
    """
    _prctl(_PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:
        signal.raise_signal(signal_number)


def descendants() -> list[psutil.Process]:
    """Return the living descendants of this process, and reap the dead ones that it adopted."""
    living = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                living.append(process)
            elif process.ppid() == os.getpid():
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(process.pid, os.WNOHANG)
    return living


def end_descendants(*, terminate_s: float, kill_s: float = 3) -> Sequence[psutil.Process]:
    """Ask every descendant to end, then kill what is left; returns what survived even that.

    Args:
        terminate_s: how long they may take to end by themselves; 0 kills at once.
        kill_s: how long to wait for the kernel afterwards.
    """
    if terminate_s:
        _signal(descendants(), signal.SIGTERM)
        _wait(terminate_s)
    deadline = time.monotonic() + kill_s
    # A process may have been starting another when it was killed: look again until nothing is left.
    while (left := descendants()) and time.monotonic() < deadline:
        _signal(left, signal.SIGKILL)
        _wait(0.2)
    return left


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _wait(limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while descendants() and time.monotonic() < deadline:
        time.sleep(0.05)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
