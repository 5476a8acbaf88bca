"""The ids of a partition's latest events, so that a repeat is recognised."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from itertools import islice


class Seen:
    """Ids, each with the log's time when it was met last (epoch ms): the latest so many distinct ones.

    Times may not go back from one call to the next.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # An ordered dict would do the same at twice the cost.
        self._met: dict[str, int] = {}
        self._order: deque[str] = deque()
        self._again: Counter[str] = Counter()
        """How often an id is in the order, beside its latest place."""
        self.first = 0
        """How many meetings have been forgotten: what was met before then, and not again, is not known any more."""

    def __len__(self) -> int:
        return len(self._met)

    @property
    def met(self) -> int:
        """How many meetings there have been."""
        return self.first + len(self._order)

    def since(self, met: int) -> tuple[list[str], list[int]]:
        """The ids that were met last after so many meetings, in that order, and when: a memory that was then like this one
        is like it again when it has learnt them."""
        latest = dict.fromkeys(islice(reversed(self._order), max(self.met - met, 0)))
        ids = list(latest)[::-1]
        return ids, [self._met[identity] for identity in ids]

    def when(self, identity: str) -> int | None:
        """When an id was met last; None if it is not known (any more)."""
        return self._met.get(identity)

    def new(self, ids: Sequence[str]) -> int:
        """How many of these, from the first on, are neither known nor among those before them."""
        distinct = set(ids)
        if len(distinct) == len(ids) and self._met.keys().isdisjoint(distinct):
            return len(ids)
        distinct.clear()
        for identity in ids:
            if identity in distinct or identity in self._met:
                break
            distinct.add(identity)
        return len(distinct)

    def add(self, ids: Sequence[str], times: Iterable[int]) -> None:
        """Remembers ids that are `new`."""
        self._met.update(zip(ids, times, strict=True))
        self._order.extend(ids)
        while len(self._met) > self._limit:
            self._forget_first()

    def learn(self, ids: Sequence[str], times: Sequence[int]) -> None:
        """Remembers what another memory gave by `since`."""
        if self.new(ids) == len(ids):
            self.add(ids, times)
        else:
            for identity, ms in zip(ids, times, strict=True):
                self.meet(identity, ms)

    def meet(self, identity: str, ms: int) -> None:
        """Remembers an id that may be known."""
        if identity in self._met:
            self._again[identity] += 1
        self._met[identity] = ms
        self._order.append(identity)
        while len(self._met) > self._limit:
            self._forget_first()

    def forget(self, before_ms: int) -> None:
        """Forgets what was met last before a time."""
        while self._order and (self._order[0] in self._again or self._met[self._order[0]] < before_ms):
            self._forget_first()

    def _forget_first(self) -> None:
        identity = self._order.popleft()
        self.first += 1
        if identity not in self._again:
            del self._met[identity]
        elif self._again[identity] == 1:
            del self._again[identity]
        else:
            self._again[identity] -= 1
