"""A child process: ready or refused, stopped within a limit, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from local.process import HOW, LOG_BYTES, How, Process, StartFailed
from tests.local.waiting import eventually, lives

ROOT = Path(__file__).resolve().parents[2]
HOWS = sorted({HOW, "pipe"})
STAYS = "import time; print('ready', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {STAYS}"


def python(name: str, program: str, folder: Path, **how: object) -> Process:
    return Process(name, [sys.executable, "-c", program], folder / f"{name}.log", **how)  # type: ignore[arg-type]


def test_it_is_ready_when_it_says_so(tmp_path: Path) -> None:
    with python("worker", STAYS, tmp_path, ready="ready") as worker:
        assert worker.running
        assert worker.last_lines() == ["ready"]
        assert (tmp_path / "worker.log").read_text() == "ready\n"
    assert worker.exit_code == -signal.SIGTERM
    assert not lives(worker.pid)


def test_one_that_ends_before_it_is_ready_is_an_error_with_its_own_words(tmp_path: Path) -> None:
    worker = python("worker", "import sys; sys.exit('no topic tillwatch.payments.v1')", tmp_path, ready="ready")
    with pytest.raises(StartFailed, match=r"(?s)worker ended with exit code 1.*no topic tillwatch.payments.v1"):
        worker.start()
    assert not worker.running


def test_one_that_does_not_become_ready_is_killed(tmp_path: Path) -> None:
    worker = python("worker", STAYS, tmp_path, ready="never said", ready_within_s=0.5)
    with pytest.raises(StartFailed, match=r"was not ready within 0\.5 s"):
        worker.start()
    assert not lives(worker.pid)


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="No such file"):
        Process("nobody", [str(tmp_path / "nothing")], tmp_path / "log", ready="ready").start()


def test_one_that_ignores_the_polite_request_is_killed(tmp_path: Path) -> None:
    worker = python("worker", STUBBORN, tmp_path, ready="ready").start()
    assert worker.stop(within_s=0.3) == -signal.SIGKILL


def test_it_starts_again(tmp_path: Path) -> None:
    worker = python("worker", STAYS, tmp_path, ready="ready").start()
    first = worker.pid
    try:
        worker.kill()
        assert worker.ending == "was ended by SIGKILL"
        assert worker.start().pid != first
    finally:
        worker.stop()


def test_its_log_has_a_limit(tmp_path: Path) -> None:
    lines = LOG_BYTES // 1000 * 3
    worker = python("worker", f"for _ in range({lines}): print('x' * 999)\nprint('ready')", tmp_path, ready="ready")
    with contextlib.suppress(StartFailed):  # it may have ended by then
        worker.start()
    worker.stop()
    logs = sorted(tmp_path.glob("worker.log*"))
    assert [log.name for log in logs] == ["worker.log", "worker.log.1"]
    assert all(log.stat().st_size <= LOG_BYTES for log in logs)


def test_ctrl_c_in_our_terminal_does_not_reach_it(tmp_path: Path) -> None:
    with python("worker", STAYS, tmp_path, ready="ready") as worker:
        assert os.getsid(worker.pid) != os.getsid(0)


def test_signals_that_we_ignore_are_not_ignored_by_it(tmp_path: Path) -> None:
    """Python ignores SIGPIPE, and what is ignored stays so over an exec."""
    shell = Process("shell", ["sh", "-c", "kill -PIPE $$; echo survived"], tmp_path / "log").start()
    eventually(lambda: not shell.running, "it ends")
    assert shell.exit_code == -signal.SIGPIPE


@pytest.mark.fault
@pytest.mark.parametrize("how", HOWS)
def test_it_dies_with_a_parent_that_was_killed(tmp_path: Path, how: How) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, how, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    with parent.stdout:
        child = int(parent.stdout.readline())
        assert lives(child)
        parent.kill()
        parent.wait()
    eventually(lambda: not lives(child), "the child is gone")


PARENT = f"""
import sys, threading
from pathlib import Path
from local.process import Process
how, folder = sys.argv[1:]
child = Process("child", [sys.executable, "-c", {STUBBORN!r}], Path(folder, "log"), ready="ready", how=how)
starter = threading.Thread(target=child.start)  # that a thread ends must not end the children it started
starter.start()
starter.join()
print(child.pid, flush=True)
threading.Event().wait(60)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc who is whose child")
@pytest.mark.parametrize("how", HOWS)
def test_its_watcher_ends_with_it(tmp_path: Path, how: How) -> None:
    worker = python("worker", STAYS, tmp_path, ready="ready", how=how).start()
    watchers = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
    worker.stop()
    assert len(watchers) == (1 if how == "pipe" else 0)
    for watcher in map(int, watchers):
        eventually(lambda pid=watcher: not lives(pid), "the watcher is gone")  # type: ignore[misc]
