"""The servers of the tests do what the tests believe of them."""

from __future__ import annotations

import pytest
from redis.exceptions import OutOfMemoryError

from runtime.kafka import create_topics, topic_logs
from runtime.settings import Settings
from schemas.events import DATA_OF
from tests.conftest import PARTITIONS, Broker
from tests.schemas.samples import decoder
from tests.support import events
from tests.support.store import KillableStore
from tests.support.topics import produce, read_all, topic_of
from tests.support.wait import eventually, eventually_async


async def test_what_is_produced_is_read_back_in_order(installation: Settings) -> None:
    names, bootstrap = installation.names, installation.kafka or ""
    sent = [events.failed(1_800_000_000 + second, transaction_id="tx") for second in range(20)]

    await produce(bootstrap, names, sent)

    read = await read_all(bootstrap, names.events("payments"))
    assert [record.value for record in read] == [events.encoded(one) for one in sent]
    assert len({record.partition for record in read}) == 1, "one transaction, one partition"


async def test_an_installation_has_topics_as_the_contract_says(installation: Settings) -> None:
    names = installation.names
    found = await topic_logs(
        installation.kafka or "", [*names.event_topics, names.deadletters, names.rollups, names.alerts]
    )
    assert {log.partitions for topic, log in found.items() if topic in (*names.event_topics, names.deadletters)} == {
        PARTITIONS
    }
    assert found[names.rollups].partitions == found[names.alerts].partitions == 1


async def test_an_empty_topic_reads_as_nothing(installation: Settings) -> None:
    assert await read_all(installation.kafka or "", installation.names.alerts) == []


async def test_kafka_keeps_its_log_when_it_is_killed(kafka: Broker, namespace: str) -> None:
    settings = Settings(kafka=kafka.bootstrap, namespace=namespace)
    await create_topics(settings, partitions=1)
    one = events.succeeded(1_800_000_000)
    await produce(kafka.bootstrap, settings.names, [one])

    kafka.kill()
    assert not kafka.running
    kafka.start()

    (read,) = await read_all(kafka.bootstrap, topic_of(settings.names, one))
    assert read.value == events.encoded(one)


def test_a_store_that_falls_back_has_what_it_had_at_the_mark(patient: KillableStore) -> None:
    with patient.client() as client:
        client.set("kept", "yes")
        patient.mark()
        client.set("lost", "yes")

    patient.fall_back()

    with patient.client() as client:
        assert client.keys() == [b"kept"]


def test_a_killed_store_comes_back_with_what_it_acknowledged(patient: KillableStore) -> None:
    with patient.client() as client:
        client.set("kept", "yes")

    patient.kill()
    patient.start()

    with patient.client() as client:
        assert client.get("kept") == b"yes"


def test_a_store_without_memory_refuses_writes_until_it_has_some(patient: KillableStore) -> None:
    patient.limit_memory(0)
    with patient.client() as client:
        with pytest.raises(OutOfMemoryError):
            client.set("big", "x" * 1_000_000)
        patient.limit_memory(None)
        assert client.set("big", "x" * 1_000_000)


def test_a_frozen_store_answers_nobody(patient: KillableStore) -> None:
    patient.freeze()
    assert not patient.answers()
    patient.thaw()
    eventually(patient.answers, "it answers again")


async def test_waiting_ends_with_what_was_last_seen() -> None:
    def check() -> int:
        raise AssertionError("still two")

    with pytest.raises(AssertionError, match=r"not within 0\.1 s: three; last: .*still two"):
        eventually(check, "three", 0.1)
    with pytest.raises(AssertionError, match=r"last: 0"):
        await eventually_async(lambda: 0, "three", 0.1)


@pytest.mark.parametrize("event_type", sorted(set(DATA_OF) - {"pipeline.heartbeat"}))
def test_every_builder_makes_a_valid_event(event_type: str) -> None:
    one = events.event(event_type, 1_800_000_000.25)

    decoded, at_ms, notes = decoder(event_type).decode(events.encoded(one), events.key_of(one), events.HEADERS)

    assert (decoded.id, at_ms, notes) == (one["id"], 1_800_000_000_250, None)
