"""One Apache Kafka node in KRaft mode: in a container where Docker answers, else from Maven's jars on Java 17."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Protocol, Self

from local.broker import cluster_at
from local.process import Process, StartFailed, free_port, quiet_environment
from tests.support.fetch import CACHE, NotFetched, brought
from tests.support.wait import eventually

KAFKA_VERSION = "4.3.1"
IMAGE = f"apache/kafka:{KAFKA_VERSION}"
_POM = Path(__file__).with_name("pom.xml")
_CACHE = CACHE / "kafka"
_DOWNLOAD_LIMIT_S = 600.0
_READY_WITHIN_S = 60.0


class NoKafka(RuntimeError):
    """This machine cannot run Apache Kafka; the text says what it lacks."""


class KafkaServer(Protocol):
    """A node that can be killed and started again, on the same log and port."""

    @property
    def bootstrap(self) -> str: ...

    @property
    def running(self) -> bool: ...

    def start(self) -> Self: ...

    def stop(self) -> int | None: ...

    def kill(self) -> None: ...


def start_kafka(folder: Path) -> KafkaServer:
    """A node that is ready; what it writes goes below `folder`. Raises NoKafka with what this machine lacks."""
    lacking = []
    for start in (_in_container, _from_jars):
        try:
            return start(folder)
        except NoKafka as error:
            lacking.append(str(error))
    raise NoKafka(f"Apache Kafka needs Docker, or Maven and Java 17 or newer: {'; '.join(lacking)}")


# --- from Maven's jars ------------------------------------------------------------------------------------------------


def _from_jars(folder: Path) -> KafkaServer:
    server = JarKafka(folder, java=new_enough_java(), jars=fetched(_POM))
    try:
        return server.start()
    except StartFailed as error:
        raise NoKafka(str(error)) from error


class JarKafka(Process):
    """Kafka on this machine's Java. `jars`: the folder of its jars."""

    def __init__(self, folder: Path, *, java: str, jars: Path) -> None:
        self.port, controller = free_port(), free_port()
        self.cluster_id = _new_cluster_id()
        folder.mkdir(parents=True, exist_ok=True)
        properties = folder / "server.properties"
        properties.write_text(
            "".join(f"{name}={value}\n" for name, value in self._properties(folder, controller).items())
        )
        run = [java, "-Xms256m", "-Xmx700m", "-XX:+UseG1GC", "-cp", f"{jars}/*"]
        self._format = [*run, "kafka.tools.StorageTool", "format", "-t", self.cluster_id, "-c", str(properties)]
        super().__init__(
            "kafka",
            [*run, "kafka.Kafka", str(properties)],
            folder / "kafka.log",
            env=quiet_environment(),
            ready=self.answers,
            ready_within_s=_READY_WITHIN_S,
            stop_within_s=15.0,
        )

    def _properties(self, folder: Path, controller: int) -> dict[str, object]:
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": folder / "log",
            **_COMMON,
        }

    @property
    def bootstrap(self) -> str:
        """Its address, for TILLWATCH_KAFKA."""
        return f"127.0.0.1:{self.port}"

    def answers(self) -> bool:
        """Whether it, and not another broker on its port, answers a metadata request."""
        return cluster_at(self.port) == self.cluster_id

    def start(self) -> Self:
        if self._format:  # once: what a killed node left is what it must find again
            done = subprocess.run(
                self._format, env=self.env, capture_output=True, text=True, timeout=_READY_WITHIN_S, check=False
            )
            if done.returncode:
                raise StartFailed(f"kafka's storage could not be formatted: {done.stdout}{done.stderr}")
            self._format = []
        return super().start()


_COMMON: dict[str, object] = {
    "auto.create.topics.enable": "false",
    "broker.heartbeat.interval.ms": 500,
    "broker.session.timeout.ms": 2000,  # so long a killed node's ghost keeps it out
    "group.initial.rebalance.delay.ms": 0,
    "log.retention.check.interval.ms": 10_000,  # a topic that may hold little is to hold little
    "group.min.session.timeout.ms": 1000,  # tests of dead workers need not wait for long
    "num.partitions": 1,
    "offsets.topic.num.partitions": 4,
    "offsets.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 1,
    "transaction.state.log.replication.factor": 1,
}


def _new_cluster_id() -> str:
    """Kafka's form of a UUID: URL-safe base64 without padding."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()).startswith("-"):
        pass  # it would be taken for an option
    return text


def new_enough_java() -> str:
    """The path of Java 17 or newer. Raises NoKafka where there is none."""
    candidates = [str(Path(home, "bin", "java")) for home in (os.environ.get("JAVA_HOME"),) if home]
    found = "no java"
    for java in (*candidates, shutil.which("java")):
        if java is None or not Path(java).exists():
            continue
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
        version = re.search(r'version "(\d+)', said)
        if version and int(version[1]) >= 17:
            return java
        found = f"{java} is older than 17"
    raise NoKafka(found)


def fetched(pom: Path) -> Path:
    """The folder of the jars that a POM asks for, fetched by Maven the first time. Raises NoKafka where that cannot be."""
    maven = shutil.which("mvn")

    def command(fresh: Path) -> list[str]:
        if maven is None:
            raise NotFetched("no mvn")
        return [maven, "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={fresh}"]

    try:
        return brought(_CACHE / hashlib.sha256(pom.read_bytes()).hexdigest()[:12], command, _DOWNLOAD_LIMIT_S)
    except NotFetched as error:
        raise NoKafka(f"Maven could not fetch {pom.parent.name}: {error}") from None


# --- in a container ---------------------------------------------------------------------------------------------------


def docker_answers() -> bool:
    """Whether a Docker daemon can be asked, within a few seconds."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        return subprocess.run([docker, "version"], capture_output=True, timeout=10, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _in_container(folder: Path) -> KafkaServer:
    if not docker_answers():
        raise NoKafka("no Docker daemon answers")
    server = ContainerKafka()
    try:
        return server.start()
    except Exception as error:  # whatever Docker has against it: the jars may still do
        server.remove()
        raise NoKafka(f"Docker could not run {IMAGE}: {error}") from error


class ContainerKafka:
    """Kafka in a container, which testcontainers' reaper takes away with the test run."""

    def __init__(self) -> None:
        from testcontainers.core.container import DockerContainer

        self.port = free_port()
        self.cluster_id = _new_cluster_id()
        settings: dict[str, object] = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": "1@localhost:9093",
            "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            **_COMMON,
        }
        self._container = DockerContainer(IMAGE).with_env("CLUSTER_ID", self.cluster_id)
        for name, value in settings.items():
            self._container.with_env(f"KAFKA_{name.replace('.', '_').upper()}", str(value))
        ports: dict[str, object] = self._container.ports  # type: ignore[assignment]
        ports["9092/tcp"] = ("127.0.0.1", self.port)  # with_bind_ports would open it to the network
        self._started = False

    @property
    def bootstrap(self) -> str:
        """Its address, for TILLWATCH_KAFKA."""
        return f"127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        if not self._started:
            return False
        inner = self._container.get_wrapped_container()
        inner.reload()
        return bool(inner.status == "running")

    def start(self) -> Self:
        """Starts it and returns once it is ready; after a kill, with the log and port it had."""
        if self._started:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._started = True
        eventually(lambda: cluster_at(self.port) == self.cluster_id, f"{IMAGE} is ready", _READY_WITHIN_S)
        return self

    def stop(self) -> int | None:
        if self.running:
            self._container.get_wrapped_container().stop(timeout=15)
        return 0

    def kill(self) -> None:
        self._container.get_wrapped_container().kill("SIGKILL")
        eventually(lambda: not self.running, "the container is dead")

    def remove(self) -> None:
        """Takes the container away."""
        if self._container.get_wrapped_container() is not None:
            self._container.stop()
