"""Run in a process of its own, since adopting orphans changes the process that does it."""

import subprocess
import sys
import textwrap
import time

import psutil
import pytest

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
POLITE = (
    "import signal, sys; signal.signal(15, lambda *_: sys.exit(print('bye'))); print('up', flush=True); signal.pause()"
)
ORPHANER = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}], start_new_session=True)"


def run(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout


def test_orphans_in_sessions_of_their_own_end_too() -> None:
    said = run(f"""
        import subprocess, sys
        from gateway.cluster.processes import adopt_orphans, descendants, end_descendants
        adopt_orphans()
        subprocess.run([sys.executable, "-c", {ORPHANER!r}], check=True)
        print(len(descendants()), len(end_descendants(terminate_s=0.2)), len(descendants()))
    """)
    assert said.splitlines()[-1] == "1 0 0"


def test_a_process_that_obeys_is_not_killed() -> None:
    said = run(f"""
        import subprocess, sys
        from gateway.cluster.processes import adopt_orphans, end_descendants
        adopt_orphans()
        process = subprocess.Popen([sys.executable, "-c", {POLITE!r}], stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        end_descendants(terminate_s=5)
        print(process.stdout.read())
    """)
    assert said.strip() == "bye"


def test_a_child_ends_when_its_parent_is_killed() -> None:
    child = "import os, signal, sys, time; from gateway.cluster.processes import end_with_parent; "
    child += "end_with_parent(signal.SIGTERM, int(sys.argv[1])); print(os.getpid(), flush=True); time.sleep(60)"
    parent = f"import os, subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}, str(os.getpid())])"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.05)
    pytest.fail("the child outlived its parent")
