"""A partial of several messages: between two of them its source is known, so that what is loaded again holds its cells."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from redis.asyncio import Redis

from agents.evaluate import Evaluate
from local.process import free_port
from rollups.sources import SourceStore
from rules.loader import RuleSet
from runtime.clock import ManualClock
from runtime.guard import Guard
from runtime.kafka import TopicLog
from runtime.names import Source
from runtime.settings import Settings
from schemas.rollup import PackedPage, Partial, TablePart

NOW_MS = 1_795_420_800_000
OLD_MS = NOW_MS - 300_000


class Pages(SourceStore):
    """Notes of which sources pages are wanted; there are none."""

    asked: list[Source]

    async def pages(self, source: Source, buckets: Iterable[int]) -> dict[int, PackedPage]:
        self.asked.append(source)
        return {}


async def test_a_source_of_which_the_last_part_is_still_to_come_is_loaded_with_the_others(tmp_path: Path) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    settings = Settings(kafka=nowhere, redis=f"redis://{nowhere}", data=tmp_path)  # type: ignore[arg-type]
    redis: Redis = Redis.from_url(f"redis://{nowhere}")
    evaluate = Evaluate(settings, ManualClock(NOW_MS / 1000), redis, nowhere, RuleSet(()), Guard())
    pages = evaluate._sources = Pages(redis, settings.names, settings.bucket_ms)
    pages.asked = []
    topic = settings.names.events("payments")
    first, second = (Source(topic, "log", partition) for partition in range(2))
    evaluate._current = {topic: TopicLog(topic, "log", 2)}

    def partial(source: Source, part: int, parts: int, watermark: int, bucket: int) -> Partial:
        tables = [TablePart("payments", bucket, 0, 1, [])]
        return Partial(str(source), "t", 9, watermark, watermark, False, part, parts, tables)

    await evaluate._merge(partial(first, 0, 2, NOW_MS, OLD_MS))
    await evaluate._merge(partial(second, 0, 1, NOW_MS, NOW_MS))
    evaluate._merger.take_rows()
    evaluate._merger.take_changed()
    evaluate._merger.evict(0)
    assert pages.asked == []

    await evaluate._merge(partial(second, 0, 1, NOW_MS, OLD_MS))

    assert set(pages.asked) == {first, second}
