"""Payments added up by plain Faust, as its documentation shows it: an agent that takes one event at a time and a table of
tumbling windows, here relative to the event's own time.

    python plain_faust.py KAFKA TOPIC GROUP EVENTS FOLDER count|empty

Once EVENTS were taken, FOLDER/result.json tells how long that took and what was added up; `empty` adds nothing up. It then
goes on until it is stopped.
"""

import json
import sys
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import faust

WINDOW_S = 10.0
kafka, topic_name, group, events, folder, what = sys.argv[1:]
last = int(events)
began_s = half_s = cpu_s = 0.0
taken = 0

app = faust.App(
    group,
    broker=f"kafka://{kafka}",
    store="memory://",
    datadir=folder,
    web_enabled=False,
    consumer_auto_offset_reset="earliest",
    topic_replication_factor=1,
)
payments = app.topic(topic_name, key_type=bytes, key_serializer="raw", value_serializer="json")


def moment(event: faust.EventT | None) -> float:
    """The event's own time, in epoch seconds."""
    assert event is not None
    return datetime.fromisoformat(event.value["time"]).timestamp()


totals = app.Table("totals", default=lambda: [0, 0]).tumbling(WINDOW_S, expires=timedelta(days=1)).relative_to(moment)


async def count(stream: faust.StreamT) -> None:
    async for event in stream:
        if not event["type"].startswith("payment."):
            continue  # a heartbeat
        took()
        data = event["data"]
        cell = "|".join((event["type"].partition(".")[2], data["provider"], data["method"]))
        so_far = totals[cell].value()
        totals[cell] = [so_far[0] + 1, so_far[1] + data["amount"]]
        if taken == last:
            tell(totals.table.items())


async def empty(stream: faust.StreamT) -> None:
    async for _ in stream:
        took()
        if taken == last:
            tell(())


def took() -> None:
    """Counts an event, and notes when the first one came and when half of them were taken."""
    global began_s, half_s, cpu_s, taken
    if not taken:
        began_s, cpu_s = time.monotonic(), time.process_time()
    taken += 1
    if taken == last // 2:
        half_s = time.monotonic()


def tell(cells: Iterable[tuple[tuple[str, tuple[float, float]], list[int]]]) -> None:
    """Writes result.json, which appears whole."""
    ended_s = time.monotonic()
    result = {
        "seconds": ended_s - began_s,
        "half_seconds": ended_s - half_s,
        "cpu_seconds": time.process_time() - cpu_s,
        "rows": [[int(start), *cell.split("|"), *numbers] for (cell, (start, _)), numbers in cells],
    }
    fresh = Path(folder, "result.fresh")
    fresh.write_text(json.dumps(result))
    fresh.rename(Path(folder, "result.json"))


app.agent(payments)({"count": count, "empty": empty}[what])

if __name__ == "__main__":
    faust.Worker(app, loglevel="WARNING").execute_from_commandline()
