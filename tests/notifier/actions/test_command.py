"""Programs that are run: what they get, what is kept of what they write, and that nothing of them is left after their time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from notifier.actions import command
from notifier.actions.command import run
from tests.support.wait import eventually, eventually_async

ECHO = "import json, os, sys; print(json.dumps([sys.argv[1:], sys.stdin.read(), dict(os.environ), os.getcwd()]))"


async def python(
    text: str, folder: Path, *more: str, limit_s: float = 30.0, most: int = 4_000, stdin: bytes = b""
) -> command.Exit:
    return await run((sys.executable, "-c", text, *more), stdin, {"PATH": "/bin"}, folder, limit_s, most)


def lives(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


async def test_it_gets_arguments_as_they_are_stdin_and_its_own_environment(tmp_path: Path) -> None:
    hostile = ("$(touch x)", "`id`; rm -rf *", "a b", "", "--x", "\n")
    ended = await python(ECHO, tmp_path, *hostile, stdin=b"the incident")
    arguments, said, environment, folder = json.loads(ended.output)
    assert (ended.code, ended.late, ended.how) == (0, False, "exit code 0")
    assert arguments == list(hostile) and said == "the incident"
    assert environment["PATH"] == "/bin" and not any(name.startswith("TILLWATCH") for name in environment)
    assert folder == str(tmp_path) and list(tmp_path.iterdir()) == []


async def test_how_it_ended_is_told(tmp_path: Path) -> None:
    failed = await python("import sys; print('no'); print('why', file=sys.stderr, flush=True); sys.exit(3)", tmp_path)
    assert (failed.code, failed.how) == (3, "exit code 3") and set(failed.output.split()) == {b"no", b"why"}
    killed = await python("import os; os.kill(os.getpid(), 9)", tmp_path)
    assert killed.how == "ended by SIGKILL" and not killed.late


async def test_what_cannot_be_started_is_an_error_and_leaves_no_file_open(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    for arguments in (("/nowhere/drain",), (str(tmp_path),)):
        with pytest.raises(OSError):
            await run(arguments, b"", {}, tmp_path, 5.0, 100)
    with pytest.raises(ValueError, match="null byte"):
        await run(("/bin/true", "a\0b"), b"", {}, tmp_path, 5.0, 100)
    await python("print(1)", tmp_path)
    await eventually_async(lambda: len(os.listdir("/dev/fd")) <= before + 1, "all is closed")


async def test_a_program_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    """It and its child and grandchild take no notice of SIGTERM."""
    text = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for depth in range(2):
    if os.fork(): break
print(os.getpid(), flush=True)
time.sleep(600)
"""
    ended = await python(text, tmp_path, limit_s=1.0)
    pids = [int(pid) for pid in ended.output.split()]
    assert len(pids) == 3 and ended.late and ended.how == "ended by SIGKILL"
    eventually(lambda: not any(map(lives, pids)), "none of them is left")


async def test_a_program_that_heeds_sigterm_may_clean_up(tmp_path: Path) -> None:
    text = """
import signal, sys, time
def end(*_):
    print("cleaned up", flush=True)
    sys.exit(7)
signal.signal(signal.SIGTERM, end)
time.sleep(600)
"""
    ended = await python(text, tmp_path, limit_s=1.0)
    assert (ended.code, ended.late, ended.output) == (7, True, b"cleaned up\n")


async def test_a_child_that_is_left_behind_ends_with_it_and_does_not_hold_it_up(tmp_path: Path) -> None:
    text = "import os, time\npid = os.fork()\nif pid == 0: time.sleep(600)\nprint(pid, flush=True)"
    async with asyncio.timeout(20):
        ended = await python(text, tmp_path, limit_s=60.0)
    pid = int(ended.output.split()[0])
    assert ended.code == 0 and not ended.late
    eventually(lambda: not lives(pid), "the child is gone")


async def test_a_daemon_is_let_go_and_does_not_hold_it_up(tmp_path: Path) -> None:
    text = """
import os, time
pid = os.fork()
if pid == 0:
    os.setsid()
    time.sleep(600)
time.sleep(0.3)
print(pid, flush=True)
"""
    async with asyncio.timeout(20):
        ended = await python(text, tmp_path, limit_s=60.0)
    pid = int(ended.output.split()[0])
    try:
        assert ended.code == 0 and lives(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


async def test_of_what_it_writes_the_end_is_kept_and_it_is_never_held_up(tmp_path: Path) -> None:
    text = "import sys\nfor n in range(200_000): print('line', n)\nsys.stdout.flush()"
    ended = await python(text, tmp_path, most=100)
    assert ended.more and len(ended.output) == 100 and ended.output.endswith(b"line 199999\n")


async def test_one_that_is_cancelled_is_killed(tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    text = f"import os, time\nopen({str(marker)!r} + '.new', 'w').write(str(os.getpid()))\n"
    text += f"os.rename({str(marker)!r} + '.new', {str(marker)!r})\ntime.sleep(600)"
    task = asyncio.create_task(python(text, tmp_path))
    await eventually_async(marker.exists, "it runs")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually_async(lambda: not lives(int(marker.read_text())), "it is gone")
