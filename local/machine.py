"""The whole system on one machine: broker, store, topics, workers, notifier and console under one supervisor."""

from __future__ import annotations

import asyncio
import getpass
import os
import re
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from pydantic import SecretStr

from console.sessions import Sessions, link
from local.broker import EmbeddedBroker
from local.epochs import Epochs
from local.instance import Instance, Local, now
from local.process import Process, StartFailed, free_port
from local.store import EmbeddedStore
from local.supervisor import Stage, Supervisor
from runtime.clock import WallClock
from runtime.kafka import KafkaUnreachable, create_topics
from runtime.redis import connect
from runtime.settings import Settings
from runtime.tasks import heed

PARTITIONS = 4
SESSION_TIMEOUT_S = 3.0
"""The embedded broker lets whoever joins a group wait for half of it."""
SCRATCH = "demo"
TOPICS_WITHIN_S = 30.0
TOPICS_TRIES = 10
READY_WITHIN_S = 75.0
STOP_WITHIN_S = 5.0
CONSOLE_READY_WITHIN_S = 60.0
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Machine:
    """A system that runs. `settings` carry the addresses of its servers, `epochs` tell when the broker's log is another."""

    settings: Settings
    supervisor: Supervisor
    epochs: Epochs

    @property
    def address(self) -> str:
        """Where to open the console on this machine."""
        place = re.sub(r"^(0\.0\.0\.0|\[::\])(?=:)", "127.0.0.1", self.settings.console)
        return f"http://{place}/"

    async def sign_in_link(self) -> str:
        """A link that signs whoever runs this in, once. Raises what redis raises when it is away."""
        redis = connect(self.settings)
        try:
            offered = await Sessions(redis, self.settings.names, WallClock()).offer(user())
        finally:
            await redis.aclose()
        heed()
        return link(self.address, offered)

    async def watch(self) -> None:
        """Keeps it running; returns never. Raises GaveUp."""
        await self.supervisor.watch()


@asynccontextmanager
async def machine(
    settings: Settings,
    workers: int,
    tell: Callable[[str], None],
    *,
    partitions: int = PARTITIONS,
    scratch: bool = False,
    first: Callable[[Settings, Epochs], Awaitable[None]] | None = None,
) -> AsyncIterator[Machine]:
    """Starts the system and stops it on leaving, in order and within 10 s.

    Servers that the settings name are used instead of the embedded ones. scratch: what the system keeps is in the
    folder `demo` of the data folder, which is emptied first. first: what is to be done once there are servers and
    topics, before a worker starts. Raises InUse, StartFailed, KafkaUnreachable or the broker's own KafkaError.
    """
    with Instance(settings.data) as instance:
        folder = settings.data
        if scratch:
            folder = folder / SCRATCH
            shutil.rmtree(folder, ignore_errors=True)
        broker = EmbeddedBroker(None, folder) if settings.kafka is None else None
        store = EmbeddedStore(None, folder) if settings.redis is None else None
        servers: dict[str, object] = {"console": _free(settings)}
        if broker is not None:
            servers["kafka"] = broker.bootstrap
            if "session_timeout" not in settings.model_fields_set:
                servers["session_timeout"] = SESSION_TIMEOUT_S
        if store is not None:
            servers["redis"] = SecretStr(store.url)
        served = settings.model_copy(update=servers)
        started_at, epochs, begun = now(), Epochs(), list[bool]()

        async def topics() -> None:
            if broker is None:
                await _topics(served, partitions)
            else:
                await _own_topics(served, partitions)
            epochs.begin()
            if first is not None and not begun:
                begun.append(True)
                await first(served, epochs)

        def record() -> None:
            instance.tell(
                Local(
                    kafka=broker.bootstrap if broker is not None else None,
                    redis=store.url if store is not None else None,
                    cluster_id=broker.cluster_id if broker is not None else None,
                    pids={"supervisor": os.getpid()} | supervisor.pids,
                    started_at=started_at,
                    console=served.console,
                )
            )

        async def recorded() -> None:
            record()

        stages = [
            Stage([store], recorded) if store is not None else Stage([]),
            # It forgets everything when it ends.
            Stage([broker] if broker is not None else [], topics, carries=True, gone=epochs.end),
            Stage(
                [
                    *(worker(served, number, folder) for number in range(1, workers + 1)),
                    notifier(served, folder),
                    console(served, folder),
                ],
                recorded,
            ),
        ]

        def said(sentence: str) -> None:
            if store is not None and store.running:
                record()
            tell(sentence)

        supervisor = Supervisor(stages, said)
        try:
            await supervisor.start()
            yield Machine(served, supervisor, epochs)
        finally:
            await supervisor.stop()


async def up(settings: Settings, workers: int, tell: Callable[[str], None]) -> None:
    """Runs the system until it is cancelled. Raises as `machine` does, or GaveUp."""
    async with machine(settings, workers, tell) as running:
        tell(f"open {running.address} to look at it")
        tell(f"to act there, too: {await running.sign_in_link()} (once, within 15 minutes; 'tillwatch console link': another)")
        tell(f"ready: Kafka at {running.settings.kafka}, data in {settings.data}; Ctrl-C ends it")
        tell("other commands in this folder find it: try 'tillwatch status' in a second terminal")
        await running.watch()


def worker(settings: Settings, number: int, folder: Path) -> Process:
    """A worker process of this installation, not started; its log is in `folder`."""
    return _process(f"worker-{number}", "worker", settings, folder)


def notifier(settings: Settings, folder: Path) -> Process:
    """The notifier of this installation, not started; its log, and its outbox, are in `folder`."""
    return _process("notifier", "notifier", settings.model_copy(update={"data": folder}), folder)


def console(settings: Settings, folder: Path) -> Process:
    """The console of this installation, not started; its log, and the reports that the notifier wrote, are in `folder`."""
    there = settings.model_copy(update={"data": folder})
    return _process("console", "console", there, folder, CONSOLE_READY_WITHIN_S, forgets=True, outlives=True)


def _process(
    name: str,
    command: str,
    settings: Settings,
    folder: Path,
    ready_within_s: float = READY_WITHIN_S,
    *,
    forgets: bool = False,
    outlives: bool = False,
) -> Process:
    """A command of ours that prints `ready`."""
    return Process(
        name,
        [sys.executable, "-P", "-m", "cli", command],
        folder / f"{name}.log",
        env=environment(settings),
        ready="ready",
        ready_within_s=ready_within_s,
        stop_within_s=STOP_WITHIN_S,
        forgets=forgets,
        outlives=outlives,
    )


def user() -> str:
    """Who runs this."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"


def _free(settings: Settings) -> str:
    """Where the console is to listen: another port than the usual one where that is taken and nobody has asked for it."""
    port = settings.console_port
    if port and ("console" in settings.model_fields_set or _is_free(settings.console_host, port)):
        return settings.console
    return f"{settings.console.rpartition(':')[0]}:{free_port()}"


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def environment(settings: Settings) -> dict[str, str]:
    """Our environment with exactly these settings, for a process of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("TILLWATCH_")}
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if value is not None:
            kept[f"TILLWATCH_{name.upper()}"] = _text(value)
    return kept


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, float):
        return f"{value:.3f}s"
    return str(value.resolve()) if isinstance(value, Path) else str(value)


async def _topics(settings: Settings, partitions: int) -> None:
    """Creates what topics a broker of the user's lacks. Raises StartFailed where one cannot be used."""
    names = settings.names
    single = {names.rollups, names.alerts, names.incidents}
    outcomes = await asyncio.wait_for(create_topics(settings, partitions), TOPICS_WITHIN_S)
    wrong = [outcome.topic for outcome in outcomes if outcome.topic in single and outcome.partitions != 1]
    if wrong:
        raise StartFailed(f"{', '.join(wrong)} must have one partition")


async def _own_topics(settings: Settings, partitions: int) -> None:
    """Creates the topics on an embedded broker that has just started.

    A client that was waiting for it may be quicker, and has made the broker create the topics it asked for, in the
    broker's own way. They hold nothing that anybody counted, and are made anew. Raises StartFailed.
    """
    assert settings.kafka is not None
    mine: set[str] = set()
    strange: list[str] = []
    try:
        async with asyncio.timeout(TOPICS_WITHIN_S):
            for _ in range(TOPICS_TRIES):
                outcomes = await create_topics(settings, partitions)
                mine |= {outcome.topic for outcome in outcomes if outcome.did == "created"}
                strange = [outcome.topic for outcome in outcomes if outcome.topic not in mine]
                if not strange:
                    return
                await _delete(settings.kafka, strange)
    except (KafkaUnreachable, KafkaError, TimeoutError) as error:
        raise StartFailed(f"the topics could not be created: {error or 'timed out'}") from error
    raise StartFailed(f"another program keeps creating {', '.join(strange)} in its own way: stop it")


async def _delete(kafka: str, topics: list[str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka, client_id="tillwatch-setup")
    await admin.start()
    try:
        await admin.delete_topics(topics)
    finally:
        await admin.close()
