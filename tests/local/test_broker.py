"""The embedded broker answers, and leaves no port behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from local.broker import EmbeddedBroker, cluster_at
from local.process import StartFailed, free_port
from tests.local.waiting import listens

pytestmark = pytest.mark.integration


async def test_what_is_produced_is_consumed(tmp_path: Path) -> None:
    with EmbeddedBroker(None, tmp_path) as broker:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic("payments", 1, 1)])
        await admin.close()
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
        await producer.start()
        await producer.send_and_wait("payments", b"paid", key=b"tx_1")
        await producer.stop()
        consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        consumer.assign([TopicPartition("payments", 0)])
        record = await consumer.getone()
        await consumer.stop()
        assert (record.key, record.value) == (b"tx_1", b"paid")
    assert not listens(broker.port)


def test_it_knows_itself_from_another_on_its_port(tmp_path: Path) -> None:
    with EmbeddedBroker(None, tmp_path / "one") as one:
        other = EmbeddedBroker(one.port, tmp_path / "other")
        assert not other.answers()
        with pytest.raises(StartFailed, match="AddrInUse"):
            other.start()
        assert one.answers()


def test_it_keeps_its_port_over_a_restart(tmp_path: Path) -> None:
    with EmbeddedBroker(None, tmp_path) as broker:
        first = broker.pid
        broker.kill()
        assert not broker.answers()
        assert broker.restart().answers()
        assert broker.pid != first


def test_nobody_at_a_port_is_no_cluster() -> None:
    assert cluster_at(free_port()) is None
