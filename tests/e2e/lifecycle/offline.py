"""Commands in a network namespace of their own: a loopback interface, and no way out of the machine."""

import os
import subprocess
import sys

_LOOPBACK_UP = """
import fcntl, os, socket, struct, sys
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: IFF_UP | IFF_RUNNING
os.execvp(sys.argv[1], sys.argv[1:])
"""
_IS_ROOT = os.geteuid() == 0

OFFLINE = ["unshare", "--net", *([] if _IS_ROOT else ["--map-root-user"]), sys.executable, "-c", _LOOPBACK_UP]
"""What a command is put behind to run without a network; its process keeps its id."""


def is_possible() -> bool:
    """Say whether this machine lets us make such a namespace."""
    try:
        return subprocess.run([*OFFLINE, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def beside(pid: int) -> list[str]:
    """Return what a command is put behind to run in the namespace of a process that runs offline."""
    return ["nsenter", "--target", str(pid), "--net", *([] if _IS_ROOT else ["--user", "--preserve-credentials"])]
