"""How much goes on in each table, minute by minute: whether a source that is silent should not be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise

from schemas.tables import Key

MINUTE_MS = 60_000
HOUR = 60
STEADY = 60
"""Events in the hour before it fell silent, from which a table's silence is one: one a minute."""
GAPS = 4
"""A silence is longer than so many of the longest gaps of that hour. Where events come in no order, the n gaps of an hour and
one more are beyond four of the longest once in n⁴/24; where they come by the clock, it is the fifth that is missed."""
RECENT_MS = 10 * MINUTE_MS
"""Later than that, what comes late is not counted any more."""


class Activity:
    """Events of one table by minute of event time, for an hour. spans: the first and the last bucket of each minute that had
    some."""

    def __init__(
        self,
        minutes: Mapping[int, int] | None = None,
        last: int | None = None,
        spans: Mapping[int, tuple[int, int]] | None = None,
    ) -> None:
        self._minutes: defaultdict[int, int] = defaultdict(int, minutes or {})
        self._spans: dict[int, tuple[int, int]] = dict(spans or {})
        self._cells: dict[int, dict[Key, int]] = {}
        self.last = last
        """The start of the latest bucket with an event."""
        self._known = last

    def update(self, bucket: int, key: Key, count: int) -> None:
        """The count of a cell as it is now; counts only grow."""
        if self.last is None or bucket > self.last:
            self.last = bucket
        elif bucket < self.last - RECENT_MS or (self._known is not None and bucket <= self._known):
            return
        cells = self._cells.setdefault(bucket, {})
        more = count - cells.get(key, 0)
        if more > 0:
            cells[key] = count
            minute = bucket // MINUTE_MS
            self._minutes[minute] += more
            first, last = self._spans.get(minute, (bucket, bucket))
            self._spans[minute] = min(first, bucket), max(last, bucket)

    def silent_since(self, closed: int, bucket_ms: int, after_ms: int) -> int | None:
        """The end of the last bucket with an event, where nothing came for `after_ms` after it, by what is closed, nor for
        `GAPS` of the longest gaps before, though at least one event a minute had come for an hour."""
        if self.last is None or closed < self.last + bucket_ms + after_ms:
            return None
        end = self.last // MINUTE_MS + 1
        hour = sorted(minute for minute, count in self._minutes.items() if end - HOUR <= minute < end and count)
        if sum(self._minutes[minute] for minute in hour) < STEADY:
            return None
        spans = [self._spans.get(minute, (minute * MINUTE_MS, (minute + 1) * MINUTE_MS - bucket_ms)) for minute in hour]
        longest = max((later[0] - earlier[1] - bucket_ms for earlier, later in pairwise(spans)), default=0)
        return self.last + bucket_ms if closed >= self.last + bucket_ms + GAPS * longest else None

    def forget(self) -> None:
        """Frees what is too old to matter."""
        if self.last is None:
            return
        first = self.last // MINUTE_MS - HOUR
        for minute in [minute for minute in self._minutes if minute < first]:
            del self._minutes[minute]
            self._spans.pop(minute, None)
        for bucket in [bucket for bucket in self._cells if bucket < self.last - RECENT_MS]:
            del self._cells[bucket]

    def kept(self) -> dict[str, object]:
        """What is kept of it, for `restored`."""
        return {
            "minutes": {str(minute): count for minute, count in self._minutes.items()},
            "spans": {str(minute): span for minute, span in self._spans.items()},
            "last": self.last,
        }


def restored(kept: Mapping[str, object]) -> Activity:
    """The activity of what was kept; its buckets are in it already, and are not counted again as their cells come. Of a minute
    without a span nothing is known of its gaps: it counts as full."""
    minutes, spans, last = kept["minutes"], kept.get("spans", {}), kept["last"]
    assert isinstance(minutes, Mapping) and isinstance(spans, Mapping) and (last is None or isinstance(last, int))
    return Activity(
        {int(minute): int(count) for minute, count in minutes.items()},
        last,
        {int(minute): (int(first), int(end)) for minute, (first, end) in spans.items()},
    )
