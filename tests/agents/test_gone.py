"""What is taken from a worker while it waits for a server is given up, and the worker goes on with the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest
from faust.types import TP
from redis.asyncio import Redis

from agents.evaluate import Evaluate
from agents.measure import Measure, Owned
from agents.transport import Chunk
from local.process import free_port
from rollups.partition import Progress
from rollups.sources import Held
from rules.loader import RuleSet
from runtime.clock import ManualClock
from runtime.guard import Guard
from runtime.names import Source
from runtime.settings import Settings
from schemas.rollup import Partial, encode_partials
from tests.support.events import encoded, failed

NOW_S = 1_795_420_800.0


class Record(NamedTuple):
    """What a consumer hands out, as far as it is looked at."""

    offset: int
    timestamp: int
    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


@pytest.fixture
def away(tmp_path: Path) -> Settings:
    """An installation whose servers are not there."""
    nowhere = f"127.0.0.1:{free_port()}"
    return Settings(kafka=nowhere, namespace="gone", data=tmp_path, redis=f"redis://{nowhere}")  # type: ignore[arg-type]


def chunk(values: Iterable[bytes], generation: int) -> Chunk:
    records = [Record(offset, int(NOW_S * 1000), value) for offset, value in enumerate(values)]
    return Chunk(records, generation, len(records))  # type: ignore[arg-type]


async def given_up(working: asyncio.Task[None]) -> None:
    """It ends soon, and without an error: that would end the process."""
    await asyncio.wait_for(working, 5)


async def test_a_partition_that_waits_for_an_old_bucket(away: Settings) -> None:
    redis: Redis = Redis.from_url(away.redis.get_secret_value() if away.redis else "")
    measure = Measure(away, ManualClock(NOW_S), redis, away.kafka or "", Guard())
    tp = TP(away.names.events("payments"), 0)
    source = Source(tp.topic, "log", 0)
    fold = measure._partition(source, Progress(), floor=int(NOW_S * 1000))
    measure.owned[tp] = owned = Owned(tp, Held(source, "token", None, 0, [], set()), fold, generation=1)
    working = asyncio.create_task(measure.process(tp, chunk([encoded(failed(NOW_S - 3_600))], 1)))
    done, _ = await asyncio.wait({working}, timeout=0.3)
    assert not done, "it waits for the bucket"

    owned.gone = True

    await given_up(working)
    assert fold.next == 0


async def test_a_leader_that_asks_which_log_a_partial_is_of(away: Settings) -> None:
    redis: Redis = Redis.from_url(away.redis.get_secret_value() if away.redis else "")
    evaluate = Evaluate(away, ManualClock(NOW_S), redis, away.kafka or "", RuleSet(()), Guard())
    evaluate._generation = 1
    head = Partial(source="gone.payments.v1/log/0", token="t", next=1, watermark=None, newest=None, behind=False)
    working = asyncio.create_task(evaluate.process(TP(away.names.rollups, 0), chunk(encode_partials(head, [], 1_000), 1)))
    done, _ = await asyncio.wait({working}, timeout=0.3)
    assert not done, "it waits for Kafka"

    evaluate._generation = -1

    await given_up(working)
