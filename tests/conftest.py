"""The servers that tests run against, one namespace for each test, and no settings from outside.

TILLWATCH_TEST_BROKERS says which brokers (`embedded,kafka` unless said); a test that asks for `broker` runs on each.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from pydantic import SecretStr

from local.broker import EmbeddedBroker
from runtime.kafka import create_topics
from runtime.settings import Settings
from tests.support.kafka import NoKafka, start_kafka
from tests.support.store import KillableStore

PARTITIONS = 3  # not what the embedded broker gives to a topic that it makes by itself
_BROKERS = tuple(filter(None, os.environ.get("TILLWATCH_TEST_BROKERS", "embedded,kafka").split(",")))

for _name in [name for name in os.environ if name.startswith("TILLWATCH_")]:
    del os.environ[_name]

hypothesis_settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.register_profile("ci", hypothesis_settings.get_profile("here"), derandomize=True, print_blob=True)
hypothesis_settings.load_profile("ci" if os.environ.get("CI") else "here")


class Broker(Protocol):
    """What every broker of the tests can do. `kill()` is kill -9, after which `start()` has the same port."""

    @property
    def bootstrap(self) -> str: ...

    @property
    def running(self) -> bool: ...

    def start(self) -> object: ...

    def stop(self) -> int | None: ...

    def kill(self) -> None: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if {"broker", "kafka"} & set(fixtures):
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Apache Kafka; skips where this machine cannot run it. It keeps its log when it is killed."""
    if "kafka" not in _BROKERS:
        pytest.skip("Apache Kafka: left out by TILLWATCH_TEST_BROKERS")
    try:
        server = start_kafka(tmp_path_factory.mktemp("kafka"))
    except NoKafka as error:
        pytest.skip(str(error))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The embedded broker. It forgets everything when it is killed."""
    with EmbeddedBroker(None, tmp_path_factory.mktemp("broker")) as server:
        yield server


@pytest.fixture(scope="session", params=_BROKERS)
def broker(request: pytest.FixtureRequest) -> Broker:
    """Each broker in turn."""
    name: str = request.param
    if name not in ("embedded", "kafka"):
        raise pytest.UsageError(f"TILLWATCH_TEST_BROKERS: no broker {name!r}; there are embedded and kafka")
    server: Broker = request.getfixturevalue(name)
    if not server.running:  # a test killed it and did not bring it back
        server.start()
    return server


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillableStore]:
    """One store for all tests; a test that hurts it asks for `patient`."""
    with KillableStore(tmp_path_factory.mktemp("store")) as server:
        yield server


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[KillableStore]:
    """A store of the test's own, to kill, empty, freeze or starve."""
    server = KillableStore(tmp_path / "patient").start()
    yield server
    server.thaw()
    server.stop()


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"t{secrets.token_hex(5)}"


@pytest.fixture
def settings(broker: Broker, store: KillableStore, namespace: str, tmp_path: Path) -> Settings:
    """Settings of an installation of the test's own on `broker` and `store`; no topic exists yet."""
    return Settings(kafka=broker.bootstrap, redis=SecretStr(store.url), namespace=namespace, data=tmp_path / "data")


@pytest.fixture
async def installation(settings: Settings) -> AsyncIterator[Settings]:
    """The same with its topics, three partitions for each of the events'."""
    await create_topics(settings, PARTITIONS)
    yield settings
