"""What was released, configured or switched of late, for whoever asks what changed just before."""

from __future__ import annotations

from collections import deque

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from notifier.policy import CHANGES_BEFORE_MS
from runtime.kafka import stop_consumer, topic_logs
from runtime.settings import Settings
from schemas.decode import Decoder, Refused
from schemas.incident import Moved

KEPT = 500
TAIL = 200
"""Records of each partition that are read at the start: those of half an hour, or so many."""
POLL_MS = 500


class Changes:
    """The latest change events. `run` follows their topic, from outside of any group."""

    def __init__(self, settings: Settings, kafka: str) -> None:
        self._kafka, self._topic = kafka, settings.names.events("changes")
        self._decoder = Decoder("changes", settings.mask_bytes)
        self._found: deque[Moved] = deque(maxlen=KEPT)

    def __len__(self) -> int:
        return len(self._found)

    def before(self, now_ms: int) -> tuple[Moved, ...]:
        """Those that may matter to an incident that opens now."""
        return tuple(one for one in self._found if one.at_ms >= now_ms - 2 * CHANGES_BEFORE_MS)

    async def run(self) -> None:
        """Follows the topic until cancelled; returns where there is none. Raises what Kafka raises when it is away."""
        log_now = (await topic_logs(self._kafka, [self._topic])).get(self._topic)
        if log_now is None:
            return
        consumer = AIOKafkaConsumer(bootstrap_servers=self._kafka, client_id="tillwatch-notifier", enable_auto_commit=False)
        await consumer.start()
        try:
            partitions = [TopicPartition(self._topic, number) for number in range(log_now.partitions)]
            consumer.assign(partitions)
            first, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
            self._found.clear()
            for one in partitions:
                consumer.seek(one, max(first[one], ends[one] - TAIL))
            while True:
                for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                    self._found.extend(moved for record in records if (moved := self._moved(record)) is not None)
        finally:
            await stop_consumer(consumer)

    def _moved(self, record: ConsumerRecord) -> Moved | None:
        try:
            event, at_ms, _ = self._decoder.decode(record.value, record.key, record.headers)
        except Refused:
            return None  # the worker has sent it to the dead letters
        component = getattr(event.data, "component", None)
        if component is None:
            return None
        data = event.data
        parts = (data.version or "", f"by {data.author}" if data.author else "", data.note or "")
        return Moved(at_ms, event.TYPE, component, ", ".join(filter(None, parts)))
