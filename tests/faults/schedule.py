"""When what is done to whom: a function of the seed, so that a run that failed can be had again."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tests.faults.harm import HARMS, Harm

BEGIN, END = 0.04, 0.9
"""The share of the run in which harm begins."""

RECOVERS_S = 5.0
"""So long after another harm a worker is not killed, but one of the others: a zombie must live to wake up."""


@dataclass(frozen=True, slots=True, order=True)
class Planned:
    """At `at` seconds after the beginning, this harm to this target, for so long."""

    at: float
    harm: str
    target: str
    lasts: float

    def __str__(self) -> str:
        lasting = f" for {self.lasts:.1f} s" if self.lasts else ""
        return f"{self.at:7.1f} s  {self.harm:<20} {self.target}{lasting}"


def schedule(
    seed: int, seconds: float, workers: Sequence[str], harms: Collection[str], kills: int, longest_s: float = 30.0
) -> list[Planned]:
    """Each of `harms` once, in an order and at instants of the seed's, and `kills` times kill -9 of a worker if that is among
    them. No harm lasts longer than `longest_s`.

    What is done to one target is spread over the time, so that it is not hurt again before it has recovered; what is
    done to different targets falls together as it comes.
    """
    rng = random.Random(f"harms {seed}")
    wanted = [HARMS[name] for name in sorted(harms)]
    several = [one for one in wanted if one.name == "kill_worker" for _ in range(kills - 1)]
    by_target: dict[str, list[Harm]] = {}
    for one in wanted:
        by_target.setdefault(one.target, []).append(one)
    planned: list[Planned] = []
    for target in sorted(by_target):
        some = by_target[target]
        rng.shuffle(some)
        for number, one in enumerate(some):
            whom = rng.choice(workers) if target == "worker" else target
            lasts = min(rng.uniform(*one.lasts), longest_s) if one.lasts else 0.0
            planned.append(Planned(_instant(rng, number, len(some), seconds), one.name, whom, lasts))
    for number, one in enumerate(several):
        at = _instant(rng, number, len(several), seconds)
        away = {other.target for other in planned if other.at - 1 < at < other.at + other.lasts + RECOVERS_S}
        planned.append(Planned(at, one.name, rng.choice([name for name in workers if name not in away] or list(workers)), 0.0))
    return sorted(planned)


def _instant(rng: random.Random, number: int, of: int, seconds: float) -> float:
    """A random instant within the share of the time that falls to one of so many."""
    share = (END - BEGIN) / of
    return round(seconds * (BEGIN + share * (number + rng.random() * 0.8)), 2)
