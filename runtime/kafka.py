"""Kafka: creating the topics with explicit settings, and telling one log from another by its topic id."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    IncompatibleBrokerVersion,
    KafkaError,
    OffsetOutOfRangeError,
    TopicAlreadyExistsError,
    for_code,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    Bytes,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from runtime.settings import Settings

EVENT_MESSAGE_BYTES = 16 * 1024 * 1024
REQUEST_TIMEOUT_S = 15.0


class KafkaUnreachable(RuntimeError):
    """No broker answered; the text says where it was looked for and what to do."""


class TopicsMissing(RuntimeError):
    """Topics of the installation do not exist; the text says which and what to do."""


def address(settings: Settings) -> str:
    """The bootstrap servers. Raises KafkaUnreachable where none are set and nothing embedded is running."""
    if settings.kafka is None:
        raise KafkaUnreachable(
            "no Kafka: set TILLWATCH_KAFKA (such as kafka-1:9092), or start the embedded one with 'tillwatch up'"
        )
    return settings.kafka


@dataclass(frozen=True, slots=True)
class TopicOutcome:
    """What setup did with one topic: `created`, `exists`, `grown` (partitions were added) or `kept` (it has fewer partitions
    than asked for, and this broker cannot add any)."""

    topic: str
    partitions: int
    did: str


async def create_topics(settings: Settings, partitions: int = 8, replication: int = 1) -> list[TopicOutcome]:
    """Creates every topic of the installation with explicit settings; idempotent.

    An event topic with fewer partitions than asked for gets more; none is ever taken away. Raises KafkaUnreachable,
    or KafkaError with the broker's own reason.
    """
    names = settings.names
    plain = {"cleanup.policy": "delete", "message.timestamp.type": "LogAppendTime"}
    wide = plain | {"max.message.bytes": str(EVENT_MESSAGE_BYTES)}
    wanted = {topic: (partitions, wide) for topic in (*names.event_topics, names.deadletters)}
    wanted |= {topic: (1, plain) for topic in (names.rollups, names.alerts)}
    wanted[names.incidents] = (1, wide)  # a header has the whole incident
    admin = AIOKafkaAdminClient(
        bootstrap_servers=address(settings), request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000), client_id="tillwatch-setup"
    )
    try:
        await asyncio.wait_for(admin.start(), REQUEST_TIMEOUT_S)
    except (TimeoutError, KafkaError, OSError) as error:
        await admin.close()
        raise KafkaUnreachable(f"no broker answers at {settings.kafka}: {error or 'timed out'}") from error
    try:
        # All there are: the embedded broker creates, in its own way, whatever is asked for by name.
        existing = {
            entry["topic"]: len(entry["partitions"]) for entry in await admin.describe_topics() if entry["error_code"] == 0
        }
        outcomes = []
        for topic, (count, config) in wanted.items():
            have = existing.get(topic)
            if have is None:
                did = await _create(admin, NewTopic(topic, count, replication, topic_configs=config))
                have = count
            elif have < count:
                try:
                    await admin.create_partitions({topic: NewPartitions(total_count=count)})
                    have, did = count, "grown"
                except IncompatibleBrokerVersion:  # the embedded broker cannot
                    did = "kept"
            else:
                did = "exists"
            outcomes.append(TopicOutcome(topic, have, did))
        if any(outcome.did in ("created", "grown") for outcome in outcomes):
            await _known(settings.kafka or "", outcomes)
        return outcomes
    finally:
        await admin.close()


async def _known(bootstrap: str, outcomes: Iterable[TopicOutcome]) -> None:
    """Waits until a broker tells of what the controller has created, so that a worker may start right after."""
    logs = TopicLogs(bootstrap)
    wanted = {outcome.topic: outcome.partitions for outcome in outcomes}
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            while True:
                found = {topic: log.partitions for topic, log in (await logs.ask(wanted)).items()}
                if all(found.get(topic, 0) >= partitions for topic, partitions in wanted.items()):
                    return
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise KafkaUnreachable(f"{bootstrap} does not tell of all topics that were created") from error
    finally:
        await logs.close()


async def _create(admin: AIOKafkaAdminClient, topic: NewTopic) -> str:
    response = await admin.create_topics([topic], timeout_ms=int(REQUEST_TIMEOUT_S * 1000))
    for _, code, *message in response.topic_errors:
        kind = for_code(code)
        if kind is TopicAlreadyExistsError:  # someone else set up at the same time
            return "exists"
        if code:
            raise kind(f"{topic.name}: {message[0] if message and message[0] else kind.description}")
    return "created"


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stops a consumer. Where the broker is away aiokafka lets the cancellation of its own fetches escape, which must not
    be taken for ours."""
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise


# Topic ids came with version 10 of the metadata request (KIP-516); aiokafka 0.14 stops at version 5.


class _Uuid(Bytes):
    @classmethod
    def encode(cls, value: bytes | None) -> bytes:
        return value or bytes(16)

    @classmethod
    def decode(cls, data: Any) -> bytes:
        return bytes(data.read(16))


class _MetadataResponse(Response):
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataRequestStruct(RequestStruct):
    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("topic", CompactString("utf-8")), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequestStruct]):
    API_KEY = 3

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: type[_MetadataRequestStruct]) -> _MetadataRequestStruct:
        return request_struct_class([(bytes(16), topic, {}) for topic in self._topics], False, False, False, {})


@dataclass(frozen=True, slots=True)
class TopicLog:
    """A topic as it is now: its id (32 hex digits) and number of partitions."""

    topic: str
    topic_id: str
    partitions: int


class TopicLogs:
    """Asks the brokers, over a connection that stays open, which logs the topics are now."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._client: AIOKafkaClient | None = None
        self._lock = asyncio.Lock()

    async def ask(self, topics: Iterable[str]) -> dict[str, TopicLog]:
        """The id and partitions of each topic that exists. Raises KafkaUnreachable."""
        async with self._lock:
            try:
                async with asyncio.timeout(REQUEST_TIMEOUT_S):
                    if self._client is None:
                        client = AIOKafkaClient(
                            bootstrap_servers=self._bootstrap,
                            client_id="tillwatch",
                            request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000),
                        )
                        self._client = client
                        await client.bootstrap()
                    response = await self._client.send(self._client.get_random_node(), _MetadataRequest(topics))
            except (TimeoutError, KafkaError, OSError) as error:
                await self._close()
                raise KafkaUnreachable(f"no broker answers at {self._bootstrap}: {error or 'timed out'}") from error
        return {
            topic: TopicLog(topic, topic_id.hex(), len(partitions))
            for code, topic, topic_id, _, partitions, *_ in response.topics
            if code == 0
        }

    async def close(self) -> None:
        async with self._lock:
            await self._close()

    async def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()


async def topic_logs(bootstrap: str, topics: Iterable[str]) -> dict[str, TopicLog]:
    """The id and partitions of each topic that exists, asked once. Raises KafkaUnreachable."""
    logs = TopicLogs(bootstrap)
    try:
        return await logs.ask(topics)
    finally:
        await logs.close()


async def require_topics(bootstrap: str, topics: Collection[str]) -> None:
    """Raises TopicsMissing unless all of these exist, or KafkaUnreachable."""
    missing = sorted(set(topics) - (await topic_logs(bootstrap, topics)).keys())
    if missing:
        raise TopicsMissing(f"no topic {', '.join(missing)}: run 'tillwatch setup topics' first")


async def fetched_ends(bootstrap: str, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
    """The end of each partition as the answer to a fetch at this position tells it; without those that end before it.

    Asked for an end plainly, the embedded broker leaves out all but the first record of the last batch. Raises
    KafkaUnreachable.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id="tillwatch",
        auto_offset_reset="none",
        enable_auto_commit=False,
        fetch_max_wait_ms=10,
    )
    ends: dict[TopicPartition, int] = {}
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            await consumer.start()
            consumer.assign(list(positions))
            for tp, position in positions.items():
                consumer.seek(tp, position)
            for tp in positions:
                try:
                    while consumer.highwater(tp) is None:
                        await consumer.getmany(tp, timeout_ms=20)
                    ends[tp] = consumer.highwater(tp)
                except OffsetOutOfRangeError:
                    pass
    except (TimeoutError, KafkaError, OSError) as error:
        raise KafkaUnreachable(f"no broker answers at {bootstrap}: {error or 'timed out'}") from error
    finally:
        await consumer.stop()
    return {tp: end for tp, end in ends.items() if end >= positions[tp]}
