"""The servers that a benchmark stands on: a real Kafka and the embedded store, and nothing of them left afterwards."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from pydantic import SecretStr

from local.store import EmbeddedStore
from runtime.settings import Settings, load_settings
from tests.support.kafka import start_kafka

FORGOTTEN_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Servers:
    """`pids`: the processes whose CPU time is told apart; `own_kafka`: whether we started it; `redis`: URL of the store.
    Everything goes below `folder` and into topics whose names begin with `prefix`."""

    kafka: str
    own_kafka: bool
    redis: str
    pids: list[int]
    folder: Path
    prefix: str

    def settings(self, part: str = "") -> Settings:
        """Of an installation of its own on these servers."""
        return Settings(
            kafka=self.kafka, redis=SecretStr(self.redis), namespace=self.prefix + part, data=self.folder / "data"
        )

    async def forget(self, part: str = "") -> None:
        """Deletes every topic of that installation, or of all."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        async with asyncio.timeout(FORGOTTEN_WITHIN_S):
            await admin.start()
            try:
                await admin.delete_topics([topic for topic in await admin.list_topics() if self.prefix + part in topic])
            finally:
                await admin.close()


async def start_servers(stack: AsyncExitStack) -> Servers:
    """Servers that run until the stack is left: the broker of TILLWATCH_KAFKA, or else one of our own. Raises NoKafka."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tillwatch-bench-")))
    store = stack.enter_context(EmbeddedStore(None, folder))
    pids, kafka, prefix = [store.pid], load_settings().kafka, f"bench-{uuid.uuid4().hex[:8]}"
    if kafka is not None:
        servers = Servers(kafka, False, store.url, pids, folder, prefix)
        stack.push_async_callback(servers.forget)
        return servers
    node = await asyncio.to_thread(start_kafka, folder / "kafka")
    stack.callback(node.stop)
    pids += [pid for pid in (getattr(node, "pid", None),) if isinstance(pid, int)]
    return Servers(node.bootstrap, True, store.url, pids, folder, prefix)
