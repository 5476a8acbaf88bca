"""Payments added up by Quix Streams: grouped by what is counted, then a tumbling window with a count and a sum.

    python quix.py KAFKA TOPIC GROUP EVENTS FOLDER grouped|keyed

`keyed`: the topic's keys are the groups already. Otherwise Quix sends what is needed of each event through a topic of its
own, as its windows go by the key of a message. Once EVENTS were added up, FOLDER/result.json tells how long that took and
what it came to. It then goes on until it is stopped.
"""

import json
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from quixstreams import Application
from quixstreams.dataframe.windows import Count, Sum

WINDOW = timedelta(seconds=10)
GRACE = timedelta(hours=1)
"""A backlog is read one partition after another, so that nearly all of it is late by some partition's clock."""
kafka, topic_name, group, events, folder, what = sys.argv[1:]
last = int(events)

began_s = half_s = cpu_s = 0.0
taken = 0
totals: dict[tuple[int, str], tuple[int, int]] = {}


def lean(event: dict[str, Any]) -> dict[str, Any]:
    """What is needed of an event."""
    global began_s, cpu_s
    if not began_s:
        began_s, cpu_s = time.monotonic(), time.process_time()
    data = event["data"]
    return {
        "ms": int(datetime.fromisoformat(event["time"]).timestamp() * 1000),
        "cell": "|".join((event["type"].partition(".")[2], data["provider"], data["method"])),
        "amount": data["amount"],
    }


def keep(window: dict[str, int], key: str, _timestamp: int, _headers: object) -> None:
    global half_s, taken
    totals[window["start"], key] = window["count"], window["amount"]
    taken += 1
    if taken == last // 2:
        half_s = time.monotonic()
    if taken == last:
        tell()


def tell() -> None:
    """Writes result.json, which appears whole."""
    ended_s = time.monotonic()
    result = {
        "seconds": ended_s - began_s,
        "half_seconds": ended_s - half_s,
        "cpu_seconds": time.process_time() - cpu_s,
        "rows": [[start // 1000, *cell.split("|"), *numbers] for (start, cell), numbers in totals.items()],
    }
    fresh = Path(folder, "result.fresh")
    fresh.write_text(json.dumps(result))
    fresh.rename(Path(folder, "result.json"))


app = Application(
    broker_address=kafka, consumer_group=group, auto_offset_reset="earliest", state_dir=folder, loglevel="WARNING"
)
frame = app.dataframe(app.topic(topic_name, key_deserializer="str"))
frame = frame.filter(lambda event: event["type"].startswith("payment.")).apply(lean)  # the rest are heartbeats
if what == "grouped":
    frame = frame.group_by(lambda event: event["cell"], name="cell", key_serializer="str", key_deserializer="str")
frame = frame.set_timestamp(lambda event, _key, _timestamp, _headers: event["ms"])
frame = frame.tumbling_window(WINDOW, grace_ms=GRACE).agg(count=Count(), amount=Sum("amount")).current()
frame.update(keep, metadata=True)

if __name__ == "__main__":
    app.run()
