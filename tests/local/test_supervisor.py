"""The supervisor: order, restarts within a budget, an orderly end, and nothing left when it is killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from local.process import Process, StartFailed
from local.supervisor import GaveUp, Stage, Supervisor
from tests.local.waiting import eventually, listens, lives

ROOT = Path(__file__).resolve().parents[2]
STAYS = "import time; print('ready', flush=True); time.sleep(600)"
ENDS_WHEN_TOLD = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: (print("told", flush=True), sys.exit(0)))
print("ready", flush=True)
signal.pause()
"""
LIMIT_S = 15


def child(name: str, folder: Path, program: str = STAYS) -> Process:
    return Process(name, [sys.executable, "-c", program], folder / f"{name}.log", ready="ready", ready_within_s=5)


async def until(holds: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(eventually, holds, what, LIMIT_S)


@asynccontextmanager
async def supervised(stages: Sequence[Stage], said: list[str], **how: float) -> AsyncIterator[asyncio.Task[None]]:
    """The stages, started and watched over; the task ends when the supervisor gives up."""
    supervisor = Supervisor(stages, said.append, **how)  # type: ignore[arg-type]
    try:
        await supervisor.start()
        watching = asyncio.create_task(supervisor.watch())
        try:
            yield watching
        finally:
            watching.cancel()
    finally:
        await supervisor.stop()


async def test_stages_start_in_order_and_stop_in_the_opposite(tmp_path: Path) -> None:
    store = child("store", tmp_path, ENDS_WHEN_TOLD)
    workers = [child(f"worker-{number}", tmp_path, ENDS_WHEN_TOLD) for number in (1, 2)]
    seen: list[tuple[bool, bool]] = []

    async def look() -> None:
        seen.append((store.running, workers[0].running))

    said: list[str] = []
    async with supervised([Stage([store], look), Stage(workers, look)], said):
        assert seen == [(True, False), (True, True)]
    assert [one.exit_code for one in (store, *workers)] == [0, 0, 0]
    assert max(worker.log.stat().st_mtime_ns for worker in workers) <= store.log.stat().st_mtime_ns
    assert [sentence.split()[0] for sentence in said[:1]] == ["store"]


async def test_one_that_cannot_start_takes_none_with_it_into_the_dark(tmp_path: Path) -> None:
    store, broken = child("store", tmp_path), child("worker", tmp_path, "raise SystemExit('no Kafka')")
    with pytest.raises(StartFailed, match="no Kafka"):
        async with supervised([Stage([store]), Stage([broken])], []):
            raise AssertionError("it must not get here")
    assert not store.running


@pytest.mark.fault
async def test_one_that_is_killed_is_started_again(tmp_path: Path) -> None:
    worker, said = child("worker", tmp_path), []
    async with supervised([Stage([worker])], said, backoff_s=0.01):
        first = worker.pid
        worker.kill()
        await until(lambda: worker.running and worker.pid != first, "another worker")
    assert any("was ended by SIGKILL; starting it again" in sentence and "(1 of 5)" in sentence for sentence in said)


@pytest.mark.fault
async def test_one_that_keeps_ending_is_given_up(tmp_path: Path) -> None:
    worker = child("worker", tmp_path, "print('ready', flush=True)")
    other, said = child("store", tmp_path), []
    with pytest.raises(GaveUp, match=r"worker ended with exit code 0, and was started again 3 times within 60 s"):
        async with asyncio.timeout(LIMIT_S), supervised(
            [Stage([other]), Stage([worker])], said, restarts=3, backoff_s=0.01
        ) as watching:  # fmt: skip
            await watching
    assert sum("starting it again" in sentence for sentence in said) == 3
    assert not other.running


@pytest.mark.fault
async def test_what_cannot_live_without_it_is_started_anew_with_it(tmp_path: Path) -> None:
    """The embedded broker forgets its topics: workers of the old log would wait for ever."""
    store, broker, worker = (child(name, tmp_path) for name in ("store", "broker", "worker"))
    console = child("console", tmp_path)
    console.outlives = True
    topics = 0

    async def create() -> None:
        nonlocal topics
        assert broker.running and not worker.running
        topics += 1

    gone: list[bool] = []
    carrying = Stage([broker], create, carries=True, gone=lambda: gone.append(True))
    async with supervised([Stage([store]), carrying, Stage([worker, console])], [], backoff_s=0.01):
        before = store.pid, broker.pid, worker.pid
        looks_on = console.pid
        broker.kill()
        await until(lambda: topics == 2 and worker.running and worker.pid != before[2], "all that it carries")
        assert store.pid == before[0]
        assert broker.pid != before[1]
        assert console.running and console.pid == looks_on
    assert gone == [True]


@pytest.mark.fault
async def test_what_fails_after_a_restart_counts_against_the_budget(tmp_path: Path) -> None:
    broker, calls = child("broker", tmp_path), 0

    async def create() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise StartFailed("the topics could not be created")

    said: list[str] = []
    async with supervised([Stage([broker], create, carries=True)], said, backoff_s=0.01):
        broker.kill()
        await until(lambda: calls == 3 and broker.running, "a third attempt")
    assert "the topics could not be created" in said


async def test_stopping_in_the_middle_of_a_start_leaves_nothing(tmp_path: Path) -> None:
    slow = Process(
        "slow", [sys.executable, "-c", STAYS], tmp_path / "slow.log", ready="never said", ready_within_s=60
    )
    supervisor = Supervisor([Stage([slow])], lambda sentence: None)
    starting = asyncio.create_task(supervisor.start())
    await until(lambda: slow.running, "it runs")
    starting.cancel()
    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(starting, return_exceptions=True)
        await supervisor.stop()
    assert not slow.running


async def test_being_told_to_end_is_not_forgotten_when_it_is_swallowed_on_the_way(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def swallow() -> None:
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    one, other = child("one", tmp_path), child("other", tmp_path)
    supervisor = Supervisor([Stage([one], swallow), Stage([other])], lambda sentence: None)
    starting = asyncio.create_task(supervisor.start())
    await begun.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await supervisor.stop()
    assert not one.running and not other.running


# --- as a program of its own ------------------------------------------------------------------------------------------

SUPERVISES = f"""
import asyncio, json, sys
from pathlib import Path
from local.broker import EmbeddedBroker
from local.process import Process
from local.store import EmbeddedStore
from local.supervisor import Stage, Supervisor, until_told

async def main(folder):
    broker, store = EmbeddedBroker(None, folder), EmbeddedStore(None, folder)
    worker = Process("worker", [sys.executable, "-c", {ENDS_WHEN_TOLD!r}], folder / "worker.log", ready="ready")
    supervisor = Supervisor([Stage([store]), Stage([broker]), Stage([worker])], lambda sentence: None)
    try:
        await supervisor.start()
        print(json.dumps(dict(pids=supervisor.pids, ports=[broker.port, store.port])), flush=True)
        await supervisor.watch()
    finally:
        await supervisor.stop()
        print("stopped", worker.exit_code, flush=True)

asyncio.run(until_told(main(Path(sys.argv[1]))))
"""


Program = Callable[[], tuple[subprocess.Popen[str], list[int], list[int]]]
"""Starts it; the program, the ids of its processes, and their ports."""


@pytest.fixture
def program(tmp_path: Path) -> Program:
    def start() -> tuple[subprocess.Popen[str], list[int], list[int]]:
        popen = subprocess.Popen(
            [sys.executable, "-c", SUPERVISES, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert popen.stdout is not None
        told = json.loads(popen.stdout.readline())
        return popen, list(told["pids"].values()), told["ports"]

    return start


@pytest.mark.integration
@pytest.mark.fault
def test_killed_it_leaves_no_child_and_no_port(program: Program) -> None:
    supervisor, pids, ports = program()
    assert len(pids) == 3
    assert all(map(lives, pids))
    assert all(map(listens, ports))
    supervisor.kill()
    supervisor.communicate()
    eventually(lambda: not any(map(lives, pids)), "all children are gone", 5)
    eventually(lambda: not any(map(listens, ports)), "no port is taken", 5)


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_told_to_end_it_stops_all_in_order(program: Program, number: signal.Signals) -> None:
    supervisor, pids, ports = program()
    supervisor.send_signal(number)
    said, _ = supervisor.communicate(timeout=LIMIT_S)
    assert said == "stopped 0\n"
    assert supervisor.returncode == 0
    assert not any(map(lives, pids))
    assert not any(map(listens, ports))
