"""Simulated events as tests look at them, and what the twelve rules would see in them, by brute force."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any

from local.scenarios import Scenario
from local.simulator import Emission, Simulator
from schemas.time import epoch_ms

START_S = 1_800_000_000.0
"""A Friday, 10:00 on the shop's clock."""
MINUTE, HOUR = 60.0, 3600.0
SEED = 7


@dataclass(frozen=True, slots=True)
class Seen:
    """An emission, with its time in seconds since `START_S`."""

    at: float
    topic: str
    key: str
    event: dict[str, Any]

    @property
    def type(self) -> str:
        return str(self.event["type"])

    @property
    def id(self) -> str:
        return str(self.event["id"])

    @property
    def source(self) -> str:
        return str(self.event["source"])

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = self.event["data"]
        return found

    @property
    def encoded(self) -> bytes:
        return json.dumps(self.event).encode()


def seen(emission: Emission) -> Seen:
    topic, key, event = emission
    return Seen(epoch_ms(str(event["time"])) / 1000 - START_S, topic, key, event)


def traffic(
    seconds: float, *scenarios: Scenario, rate: float = 2.0, seed: int = SEED, start_s: float = START_S
) -> list[Seen]:
    """What the simulator emits in so many seconds."""
    return [
        seen(emission) for emission in Simulator(seed, start_s, rate, scenarios).events(start_s, start_s + seconds)
    ]


def scenario(name: str, start: float, end: float, **params: str | float) -> Scenario:
    """A scenario in seconds since `START_S`."""
    return Scenario(name, START_S + start, START_S + end, **params)


def of_type(events: Iterable[Seen], *types: str, **data: Any) -> list[Seen]:
    """The events of these types whose data have these values."""
    return [
        one for one in events if one.type in types and all(one.data.get(name) == value for name, value in data.items())
    ]


def finished(events: Iterable[Seen], **data: Any) -> list[Seen]:
    """The payments that came to an end."""
    return of_type(events, "payment.succeeded", "payment.failed", **data)


def broken(one: Seen) -> bool:
    """Whether a payment failed by a fault that counts as an outage."""
    return one.data.get("fault") in ("technical", "unknown")


# --- the rules' view --------------------------------------------------------------------------------------------------


def most_within(events: Sequence[Seen], window_s: float) -> int:
    """The largest number of events in any window of this length."""
    times = sorted(one.at for one in events)
    return max((index + 1 - bisect_left(times, at - window_s) for index, at in enumerate(times)), default=0)


def windows(events: Sequence[Seen], window_s: float, step_s: float = 10.0) -> Iterator[list[Seen]]:
    """The events of every window of this length, each a step after the one before."""
    if not events:
        return
    times = [one.at for one in events]
    end = times[0] + window_s
    while end <= times[-1]:
        yield list(events[bisect_left(times, end - window_s) : bisect_left(times, end)])
        end += step_s


def worst(
    events: Sequence[Seen], window_s: float, value: Callable[[list[Seen]], float], *, at_least: int = 1
) -> float:
    """The largest value of any window that has so many events."""
    return max((value(window) for window in windows(events, window_s) if len(window) >= at_least), default=0.0)


def failing(payments: list[Seen]) -> float:
    return sum(map(broken, payments)) / len(payments)


def mean_latency_s(events: list[Seen]) -> float:
    return fmean(one.data["latency_ms"] for one in events) / 1000


def longest_above(samples: Sequence[Seen], percent: float) -> float:
    """The longest time for which every sample was above, in seconds."""
    longest, began = 0.0, None
    for before, one in pairwise(samples):
        if one.data["value"] <= percent:
            began = None
        else:
            began = before.at if began is None else began
            longest = max(longest, one.at - began)
    return longest


def most_in_a_row(probes: Sequence[Seen]) -> int:
    """The most failed probes in a row of one component, instance and place."""
    rows: dict[tuple[str, str, str], int] = {}
    most = 0
    for one in probes:
        of = (one.data["component"], one.data["instance"], one.data["place"])
        rows[of] = rows.get(of, 0) + 1 if one.data["status"] == "down" else 0
        most = max(most, rows[of])
    return most
