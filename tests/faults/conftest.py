"""The broker of runs with harm in them."""

from __future__ import annotations

import pytest

from tests.support.kafka import KafkaServer


@pytest.fixture
def sturdy(request: pytest.FixtureRequest) -> KafkaServer:
    """Apache Kafka, or the embedded broker where this machine has none."""
    broker: KafkaServer
    try:
        broker = request.getfixturevalue("kafka")
    except pytest.skip.Exception:
        broker = request.getfixturevalue("embedded")
    if not broker.running:
        broker.start()
    return broker
