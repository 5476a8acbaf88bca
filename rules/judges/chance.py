"""Whether a share is beyond its threshold for sure, or could be chance.

A rule looks with every event, so what chance brings once in a thousand windows it brings several times a month: three
payments of twenty are beyond 5 % by a bound of 95 %, and where eight in a thousand fail, three of twenty do so twice a month
at two payments a minute. So two things are asked of a share:

- the share: the bound of its confidence interval is beyond the threshold;
- the month: where half as many fail as the threshold allows (and at most one in twenty), so bad a window comes by chance less
  than once a month.

The first says how far off many events are, the second matters where there are few.
"""

from __future__ import annotations

from fractions import Fraction
from math import exp, lgamma, log, log1p, sqrt

from rules.judges.base import COMPARE, UPWARD

DISTINCT = 3
"""Failing transactions that must be distinct."""
MONTH_MS = 30 * 86_400_000
HEALTHY = 0.05
"""No more fail where all is well, nor more than half of what the threshold allows: who lives with more needs another one."""
NEGLIGIBLE = 1e-9


def surely(comparison: str, threshold: Fraction, z: float, window_ms: int, k: int, n: int) -> float | None:
    """The confidence bound of k of n, which are beyond the threshold; None where that could be chance. 0.0 where nobody asks
    how sure it is. z: standard normal quantile of the confidence; 0 takes the share as it is."""
    if not z or comparison in ("==", "!="):
        return 0.0
    upward = comparison in UPWARD
    bound = wilson(k, n, z)[0 if upward else 1]
    if not COMPARE[comparison](bound, float(threshold)):
        return None
    failing, allowed = (k, float(threshold)) if upward else (n - k, 1 - float(threshold))
    return bound if so_many(failing, n, min(HEALTHY, allowed / 2)) * MONTH_MS <= window_ms else None


def wilson(k: int, n: int, z: float) -> tuple[float, float]:
    """The interval of a share of which k of n were seen.

    E. B. Wilson: "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22 (1927).
    """
    share, zz = k / n, z * z
    middle = share + zz / (2 * n)
    spread = z * sqrt((share * (1 - share) + zz / (4 * n)) / n)
    return (middle - spread) / (1 + zz / n), (middle + spread) / (1 + zz / n)


def so_many(k: int, n: int, share: float) -> float:
    """How probable k or more of n are where each is one with this probability: the upper tail of the binomial
    distribution. share: at most 1/2."""
    if k <= 0 or share <= 0:
        return 1.0 if k <= 0 else 0.0
    odds = share / (1 - share)
    term = exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(share) + (n - k) * log1p(-share))
    total = term
    for at in range(k, n):
        term *= (n - at) / (at + 1) * odds
        total += term
        if term < NEGLIGIBLE * total:
            break
    return min(total, 1.0)
