"""How much goes on in each table, minute by minute: whether a source that is silent should not be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from schemas.tables import Key

MINUTE_MS = 60_000
HOUR = 60
STEADY = 60
"""Events in the hour before it fell silent, from which a table's silence is one: one a minute."""
RECENT_MS = 10 * MINUTE_MS
"""Later than that, what comes late is not counted any more."""


class Activity:
    """Events of one table by minute of event time, for an hour."""

    def __init__(self, minutes: Mapping[int, int] | None = None, last: int | None = None) -> None:
        self._minutes: defaultdict[int, int] = defaultdict(int, minutes or {})
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
            self._minutes[bucket // MINUTE_MS] += more

    def silent_since(self, closed: int, bucket_ms: int, after_ms: int) -> int | None:
        """The end of the last bucket with an event, where nothing came for `after_ms` after it, by what is closed, though at
        least one event a minute had come for an hour: sixty of them, and no minute without one since the first."""
        if self.last is None or closed < self.last + bucket_ms + after_ms:
            return None
        end = self.last // MINUTE_MS + 1
        hour = {minute: count for minute, count in self._minutes.items() if end - HOUR <= minute < end and count}
        # Payments come in no order: at two a minute one gap in fifty is longer than two minutes, and no silence.
        gapless = bool(hour) and len(hour) == end - min(hour)
        return self.last + bucket_ms if gapless and sum(hour.values()) >= STEADY else None

    def forget(self) -> None:
        """Frees what is too old to matter."""
        if self.last is None:
            return
        first = self.last // MINUTE_MS - HOUR
        for minute in [minute for minute in self._minutes if minute < first]:
            del self._minutes[minute]
        for bucket in [bucket for bucket in self._cells if bucket < self.last - RECENT_MS]:
            del self._cells[bucket]

    def kept(self) -> dict[str, object]:
        """What is kept of it, for `restored`."""
        return {"minutes": {str(minute): count for minute, count in self._minutes.items()}, "last": self.last}


def restored(kept: Mapping[str, object]) -> Activity:
    """The activity of what was kept; its buckets are in it already, and are not counted again as their cells come."""
    minutes, last = kept["minutes"], kept["last"]
    assert isinstance(minutes, Mapping) and (last is None or isinstance(last, int))
    return Activity({int(minute): int(count) for minute, count in minutes.items()}, last)
