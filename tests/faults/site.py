"""An installation that can be hurt: a broker, a store behind a proxy, a clock in a file, processes that are looked after."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import SecretStr

from local.process import StartFailed
from runtime.kafka import create_topics
from runtime.settings import Settings
from tests.faults.produce import Producer
from tests.faults.proxy import Proxy
from tests.faults.traffic import PACK
from tests.integration.oracle import Oracle
from tests.support.clock import ClockFile
from tests.support.kafka import KafkaServer
from tests.support.store import KillableStore
from tests.support.wait import pause
from tests.support.worker import Worker

SESSION_S = 4.0
PARTITIONS = 3
LOOK_EVERY_S = 0.3
TICK_S = 0.04
SQUEEZES = 20
DISK_BYTES = 6 * 1024**3
RECOVERED_S = 20.0
"""A worker that is told to end so soon after a server was away may still be waiting for it."""
START_TRIES_S = 120.0

Tell = Callable[[str], None]


class Post:
    """A worker's place. `wanted`: whether somebody should be there; then it is started again, as a supervisor would. `begun`:
    whether it was ready before it ended."""

    def __init__(self, name: str, process: Worker) -> None:
        self.name, self.process = name, process
        self.wanted = self.begun = False
        self.hurting = asyncio.Lock()
        self.starting: asyncio.Task[None] | None = None

    def kill(self) -> bool:
        """kill -9, at any time, also while it starts. Whether there was anybody."""
        if not self.process.running:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        return True


class Site:
    """`settings`: of the installation. `hurting`: a lock for each thing that can be hurt. `endings`: how workers ended that
    nobody had told to."""

    COMMAND = "worker"
    """What those who are looked after run."""

    def __init__(self, settings: Settings, broker: KafkaServer, stores: list[KillableStore], proxy: Proxy, tell: Tell) -> None:
        self.broker, self.proxy, self.tell = broker, proxy, tell
        self.store, self.spare = stores
        self._clock = ClockFile(settings.data / "clock", time.time())
        self.clock_ahead_s = 0.0
        self.settings = settings.model_copy(update={"clock": self._clock.setting})
        self.posts: dict[str, Post] = {}
        self.hurting = {name: asyncio.Lock() for name in ("redis", "broker", "clock", "topics")}
        self.producer = Producer(broker.bootstrap, settings.names, PARTITIONS, Oracle())
        self.healed_at: dict[str, float] = {}
        """When each target was let alone last, by the monotonic clock."""
        self.partitions = PARTITIONS
        self.endings: Counter[str] = Counter()
        self.rng = random.Random()
        """Decides what a harm leaves open; a run seeds it."""
        self.kills = 0
        """How often kill -9 met a worker."""
        self.tasks: list[asyncio.Task[None]] = []
        self.full_disk: str | None = None
        """Why the store's disk cannot be filled on this machine; None: it can."""

    # --- workers ------------------------------------------------------------------------------------------------------

    def lock(self, target: str) -> asyncio.Lock:
        return self.posts[target].hurting if target in self.posts else self.hurting[target]

    async def staff(self, count: int) -> None:
        """Starts so many workers, and looks after them from then on."""
        for number in range(1, count + 1):
            name = f"{self.COMMAND}-{number}"
            self.posts[name] = Post(name, Worker(self.settings, self.settings.data, name, command=self.COMMAND))
        await asyncio.gather(*(asyncio.to_thread(post.process.start) for post in self.posts.values()))
        for post in self.posts.values():
            post.wanted = post.begun = True
        self.tasks += [asyncio.create_task(self._look_after()), asyncio.create_task(self._tick())]

    async def _tick(self) -> None:
        while True:
            self.tick()
            await pause(TICK_S)

    def tick(self) -> None:
        """Sets the clock."""
        self._clock.set(time.time() + self.clock_ahead_s)

    async def _look_after(self) -> None:
        while True:
            for post in self.posts.values():
                free = not post.hurting.locked() and (post.starting is None or post.starting.done())
                if post.wanted and free and not post.process.running:
                    if post.begun and post.process.exit_code not in (0, -signal.SIGKILL):
                        self.endings[f"{post.name} {post.process.ending}"] += 1
                        self.tell(f"{post.name} {post.process.ending}: {' / '.join(post.process.last_lines()[-3:])}")
                    post.begun = False
                    post.starting = asyncio.create_task(self._start(post))
            await pause(LOOK_EVERY_S)

    async def _start(self, post: Post) -> None:
        try:
            await asyncio.to_thread(post.process.start)
            post.begun = True
        except StartFailed as error:  # a server was away, or it was killed while it started: it is tried again
            self.tell(f"{post.name} did not start: {str(error).splitlines()[-1].strip()[:200]}")

    async def ready(self, post: Post) -> None:
        """Returns once somebody works there."""
        deadline = time.monotonic() + START_TRIES_S
        while (post.starting is not None and not post.starting.done()) or not post.process.running:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{post.name} is not at work after {START_TRIES_S:g} s: {post.process.output[-1500:]}")
            await pause(LOOK_EVERY_S)

    async def complete(self) -> None:
        """Returns once everybody is at work."""
        await asyncio.gather(*(self.ready(post) for post in self.posts.values() if post.wanted))

    async def leave(self) -> list[int | None]:
        """SIGTERM to all; their exit codes."""
        for post in self.posts.values():
            post.wanted = False
        await asyncio.gather(*(post.starting for post in self.posts.values() if post.starting is not None))
        running = [post.process for post in self.posts.values() if post.process.running]
        return list(await asyncio.gather(*(asyncio.to_thread(one.stop) for one in running)))

    async def end(self) -> None:
        """Ends whatever still runs."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for post in self.posts.values():
            post.wanted = False
            if post.starting is not None:
                post.kill()
                await asyncio.gather(post.starting, return_exceptions=True)
            if post.process.running:
                await asyncio.to_thread(post.process.kill)

    # --- the store ----------------------------------------------------------------------------------------------------

    def served_since(self, moment: float) -> bool:
        """Whether the servers that workers need were there all the time since this moment (of the monotonic clock) and some
        time before it, so that a worker must have ended as it should."""
        names = ("redis", "broker")
        hurt = any(self.hurting[name].locked() for name in names)
        return not hurt and all(moment - self.healed_at.get(name, 0.0) > RECOVERED_S for name in names)

    def promote(self) -> None:
        """The replica leads, clients are led to it, and the store that led before is gone with what it had."""
        self.store.kill()
        self.spare.lead()
        self.store, self.spare = self.spare, self.store
        self.proxy.change(to=self.store.port)
        self.spare.wipe()

    def squeeze_disk(self, full: bool) -> None:
        """Takes away what is free on the store's disk, or gives it back."""
        folder = self.store.folder
        for tries_left in reversed(range(SQUEEZES)):  # refused where the store wrote between the look and the change
            used = shutil.disk_usage(folder).used
            try:
                return _mount("-o", f"remount,size={used if full else DISK_BYTES}", str(folder))
            except subprocess.CalledProcessError:
                if not tries_left:
                    raise


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True, timeout=20)


@contextlib.contextmanager
def disk(folder: Path) -> Iterator[str | None]:
    """A small disk of its own at this folder, where the machine lets us have one; yields why not, or None."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _mount("-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder))
    except (OSError, subprocess.SubprocessError) as error:
        yield f"no file system may be mounted here ({type(error).__name__})"
        return
    try:
        yield None
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True, timeout=20)


S = TypeVar("S", bound=Site)


@contextlib.asynccontextmanager
async def site(
    folder: Path,
    broker: KafkaServer,
    namespace: str,
    workers: int,
    tell: Tell,
    *,
    small_disk: bool,
    kind: type[S] = Site,  # type: ignore[assignment]
    **more: object,
) -> AsyncIterator[S]:
    """A site with its topics and workers at work, in `folder`; it is ended on leaving. small_disk: whether the store's disk
    is to be filled; more: further settings."""
    rules = folder / "rules"
    rules.mkdir(parents=True)
    (rules / "faults.yaml").write_text(PACK)
    with contextlib.ExitStack() as stack:
        reasons = [stack.enter_context(disk(folder / name)) for name in ("store-1", "store-2") if small_disk]
        stores = [KillableStore(folder / name) for name in ("store-1", "store-2")]
        stores[0].start()
        proxy = Proxy(stores[0].port)
        stack.callback(proxy.stop)
        for one in stores:
            stack.callback(one.end)
        settings = Settings(
            kafka=broker.bootstrap,
            redis=SecretStr(proxy.url),
            namespace=namespace,
            data=folder,
            rules=rules,
            session_timeout=SESSION_S,
        ).model_copy(update=more)
        await create_topics(settings, PARTITIONS)
        made = kind(settings, broker, stores, proxy, tell)
        made.full_disk = next((one for one in reasons if one is not None), None)
        try:
            await made.staff(workers)
            yield made
        finally:
            await made.end()
