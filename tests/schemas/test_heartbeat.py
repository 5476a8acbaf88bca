"""Heartbeats are events like any other, on every topic."""

from schemas.decode import Decoder
from schemas.heartbeat import heartbeat
from tests.schemas.samples import HEADER, MASK_KEY


def test_a_heartbeat_is_decoded_with_its_time():
    value = heartbeat("/tillwatch/worker-1", 1_795_420_800_123)
    event, ms, notes = Decoder("webhooks", MASK_KEY).decode(value, None, HEADER)
    assert (event.TYPE, event.source) == ("pipeline.heartbeat", "/tillwatch/worker-1")
    assert (ms, notes) == (1_795_420_800_123, None)


def test_two_heartbeats_of_the_same_moment_differ():
    first, second = (Decoder("health", MASK_KEY).decode(heartbeat("w", 0), None, [])[0] for _ in range(2))
    assert first.id != second.id
