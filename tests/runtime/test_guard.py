"""The guard of a process: a blocked event loop ends it, having been stopped as a whole does not; cycles are collected."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from runtime.guard import EXIT_HUNG
from tests.support.wait import pause

SCRIPT = """
import asyncio, sys, time, types
from runtime import guard
guard.STALL_LIMIT_S = 3.0
guard.time = types.SimpleNamespace(sleep=lambda seconds: None)  # it looks all the time
async def main():
    guard.ProcessGuard().begin()
    print("begun", flush=True)
    while True:
        end = time.process_time() + float(sys.argv[1])
        while time.process_time() < end:
            pass
        await asyncio.sleep(0)
asyncio.run(main())
"""


@contextmanager
def process(blocked_s: float) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose event loop works for so long at a time."""
    one = subprocess.Popen([sys.executable, "-c", SCRIPT, str(blocked_s)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert one.stdout is not None
        assert one.stdout.readline() == b"begun\n"
        yield one
    finally:
        one.kill()
        one.communicate(timeout=10)


async def test_it_goes_on_after_it_was_stopped_for_longer_than_a_loop_may_be_blocked() -> None:
    with process(blocked_s=0.6) as one:
        os.kill(one.pid, signal.SIGSTOP)
        await pause(3.5)
        os.kill(one.pid, signal.SIGCONT)
        await pause(0.8)
        assert one.poll() is None


STOPPING = """
import asyncio, sys
from runtime import guard
async def main():
    guard.ProcessGuard().end_within(0.5, lambda: sys.argv[1] == "safe")
    await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.mark.parametrize(("state", "code"), [("safe", 0), ("unsafe", EXIT_HUNG)])
def test_who_stops_too_slowly_is_ended_and_in_order_if_it_was_only_saying_goodbye(state: str, code: int) -> None:
    done = subprocess.run([sys.executable, "-c", STOPPING, state], capture_output=True, timeout=30, check=False)
    assert done.returncode == code


SWEPT = """
import asyncio, gc, weakref
from runtime import guard
guard.SWEEP_EVERY_S = 0.05
class Ring: pass
async def main():
    guard.ProcessGuard().settled()
    assert not gc.isenabled()
    for _ in range(2):
        ring, gone = Ring(), asyncio.Event()
        ring.itself = ring
        weakref.finalize(ring, gone.set)
        del ring
        assert not gone.is_set()
        await asyncio.wait_for(gone.wait(), 10)
asyncio.run(main())
"""


def test_what_points_to_itself_is_collected_now_and_then() -> None:
    done = subprocess.run([sys.executable, "-c", SWEPT], capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_a_blocked_loop_ends_it() -> None:
    with process(blocked_s=30) as one:
        assert one.wait(timeout=20) == EXIT_HUNG
