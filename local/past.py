"""What the simulated shop did in the days before: history for the baseline of its volume."""

from __future__ import annotations

from math import exp, sqrt
from random import Random

from local.simulator import ABANDONED, daily_shape
from rules.baseline.history import History, Row

MINUTE_S = 60
VARIES = 0.05
"""Standard deviation of a day's volume around its usual one, as a share."""


def poisson(rng: Random, mean: float, counted_up_to: float = 200) -> int:
    """A number of events: by D. E. Knuth's way for small means, by the normal distribution for larger ones."""
    if mean > counted_up_to:
        return max(0, round(rng.gauss(mean, sqrt(mean))))
    limit, product, n = exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        n += 1
    return n


def volume(rate: float, end_s: float, days: int, seed: int) -> History:
    """Finished payments of each minute of so many days before `end_s` (epoch seconds), of a shop at which `rate` payments are
    begun a second, averaged over a week."""
    rng, rows = Random(seed), list[Row]()
    end = int(end_s) // MINUTE_S * MINUTE_S
    of_day: dict[int, float] = {}
    for start in range(end - days * 86_400, end, MINUTE_S):
        busy = of_day.setdefault(start // 86_400, max(rng.gauss(1, VARIES), 0.5))
        mean = rate * (1 - ABANDONED) * daily_shape(start) * MINUTE_S * busy
        rows.append((start * 1000, float(poisson(rng, mean))))
    return History(MINUTE_S * 1000, rows)
