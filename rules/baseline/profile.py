"""One idea of what is normal: what each slot of the day, or of the week, held in the past, and how well that fits."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, sqrt
from typing import Any, NamedTuple

HOUR_MS = 3_600_000
LEVEL_MS = 6 * HOUR_MS
"""Time constant of the level: so fast follows the present how busy a day is."""
NOISE_MS = 7 * 24 * HOUR_MS
CAP = 3.0
"""The level stays within 1/CAP and CAP."""
LEAST_NOISE = 0.0025
"""Least overdispersion: 5 % of the value."""
PRIOR_NOISE = 0.04
PRIOR_MS = 6 * HOUR_MS
FLOOR = 0.1
"""Share of the mean volume that is added to what is expected before noise is a share of it."""
CLIP, CLIP_FIT = 2.5, 4.0
TELLING, AGREE = 100.0, 2.0
"""Events from which a ring speaks for itself; below, neighbours help that agree with it."""
HELP_MS = 2 * HOUR_MS
_TINY = 1e-12


class Band(NamedTuple):
    """What a slot is expected to hold, a step: in the middle, and at the edges of its neighbourhood."""

    middle: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Scale:
    """How deviations are measured so that they are as large at night as by day: d(x, mu) = 2 (sqrt(x+a) - sqrt(mu+a)).

    F. J. Anscombe: "The Transformation of Poisson, Binomial and Negative-Binomial Data", Biometrika 35 (1948). `a` and the
    variance `c` that counting itself has: 3/8 and 1 of counts, 0 of other values.
    """

    a: float
    c: float

    def deviation(self, x: float, mu: float) -> float:
        return 2 * (sqrt(max(0.0, x) + self.a) - sqrt(mu + self.a))

    def shifted(self, mu: float, deviation: float) -> float:
        """The value that deviates so much from mu."""
        root = max(sqrt(self.a), sqrt(mu + self.a) + deviation / 2)
        return root * root - self.a


COUNTS, VALUES = Scale(0.375, 1.0), Scale(0.0, 0.0)


def trimmed_mean(values: Sequence[float]) -> float:
    """The mean without the smallest and the largest, from three values on. Two sums could make it leave its own bounds."""
    if len(values) < 3:
        return sum(values) / len(values)
    inner = sorted(values)[1:-1]
    return min(max(sum(inner) / len(inner), inner[0]), inner[-1])


class Profile:
    """Rings of past slot means, and decayed sums of how the present compares with them. Sums only, so it is small."""

    __slots__ = ("bounds", "keep", "need", "reach", "rings", "scale", "steps", "sums")

    def __init__(self, slots: int, keep: int, need: int, scale: Scale, steps: int, reach: int) -> None:
        """slots: how many; keep, need: values of a ring; steps: of a slot; reach: how many slots to either side may help."""
        self.keep, self.need, self.scale, self.steps, self.reach = keep, need, scale, steps, reach
        self.rings: list[deque[float]] = [deque(maxlen=keep) for _ in range(slots)]
        self.sums = [0.0] * 6
        self.bounds = (1 / CAP, CAP)

    # The sums: winsorised values and what the rings say to them (their ratio is the level); squared clipped deviations, their
    # number and mass (the noise); squared deviations clipped wider (the fit).

    @property
    def level(self) -> float:
        """How busy it is now, against what the rings say."""
        least, most = self.bounds
        return min(most, max(least, self._ratio)) if self.fitted else 1.0

    @property
    def _ratio(self) -> float:
        held, said = self.sums[:2]
        return held / said if said > 0 else 1.0

    @property
    def fitted(self) -> bool:
        """Whether the present was compared with the rings at all."""
        return self.sums[3] > 0

    @property
    def misfit(self) -> float:
        """Mean squared deviation from what the rings said."""
        return self.sums[5] / self.sums[3]

    def says(self, slot: int, need: int | None = None) -> float | None:
        """What the ring of a slot says, without the level. None: it has too few values.

        A few events say little: then its neighbours on both sides are asked too, as far as they agree with it (the square
        roots of what they held differ by less than `AGREE`, which those of equal Poisson counts hardly ever do).
        """
        ring = self.rings[slot % len(self.rings)]
        if len(ring) < (self.need if need is None else need):
            return None
        middle = trimmed_mean(ring)
        held = sum(ring) * self.steps
        if self.scale.c == 0 or held >= TELLING:
            return middle
        total, n, per = middle, 1, held / len(ring)
        sides = {-1, 1}
        for away in range(1, self.reach + 1):
            for side in sorted(sides):
                other = self.rings[(slot + side * away) % len(self.rings)]
                theirs = sum(other) * self.steps
                if not other or abs(sqrt(theirs) - sqrt(per * len(other))) > AGREE:
                    sides.remove(side)
                    continue
                total, n, held = total + trimmed_mean(other), n + 1, held + theirs
            if held >= TELLING or not sides:
                break
        return total / n

    def band(self, slot: int, need: int | None = None) -> Band | None:
        """What a slot and its two neighbours say, without the level."""
        middle = self.says(slot, need)
        if middle is None:
            return None
        around = [middle, *(said for one in (slot - 1, slot + 1) if (said := self.says(one, 1)) is not None)]
        return Band(middle, min(around), max(around))

    def noise(self, mu: float, floor: float) -> float:
        """Standard deviation of a deviation from mu. floor: `FLOOR` of the mean volume in the same time."""
        _, _, squares, n, mass, _ = self.sums
        alpha = max(LEAST_NOISE, (squares - self.scale.c * n) / mass) if mass > 0 else PRIOR_NOISE
        return sqrt(self.scale.c + alpha * (mu + floor) + _TINY)

    def compare(self, x: float, said: float, floor: float, width_ms: int) -> None:
        """Learns from what a stretch of `width_ms` held, where the rings said `said`."""
        scale, mu = self.scale, said * self.level
        if not self.fitted:
            n = PRIOR_MS / width_ms
            mass = n * (mu + floor) + _TINY
            squares = n * scale.c + PRIOR_NOISE * mass
            weight = said * LEVEL_MS / width_ms + _TINY
            self.sums = [weight, weight, squares, n, mass, squares]
        noise = self.noise(mu, floor)
        deviation = scale.deviation(x, mu)
        clipped = max(-CLIP * noise, min(CLIP * noise, deviation))
        wide = max(-CLIP_FIT * noise, min(CLIP_FIT * noise, deviation))
        news = (scale.shifted(mu, clipped), said, clipped**2, 1.0, mu + floor, wide**2)
        fast, slow = exp(-width_ms / LEVEL_MS), exp(-width_ms / NOISE_MS)
        fades = (fast, fast, slow, slow, slow, slow)
        self.sums = [one * fade + new for one, fade, new in zip(self.sums, fades, news, strict=True)]
        if 1 / CAP <= self._ratio <= CAP:
            self.bounds = (1 / CAP, CAP)

    def forget_level(self, gap_ms: int) -> None:
        """Nothing was known for a while: the level goes back towards 1."""
        held, said = self.sums[:2]
        self.sums[0] = said + (held - said) * exp(-gap_ms / LEVEL_MS)

    def shift(self, by: float) -> None:
        """From now on everything is so many times as much; the level goes beyond its bounds until the rings have learned it."""
        if self.fitted:
            level = self.level * by
            self.sums[0] = level * self.sums[1]
            self.bounds = (min(level, 1 / CAP), max(level, CAP))

    def snapshot(self) -> dict[str, Any]:
        return {"rings": [list(ring) for ring in self.rings], "sums": list(self.sums), "bounds": list(self.bounds)}

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Raises ValueError where it is not of this shape."""
        rings, sums = kept["rings"], kept["sums"]
        if len(rings) != len(self.rings) or len(sums) != len(self.sums):
            raise ValueError("the profile has another number of slots")
        self.rings = [deque((float(one) for one in ring), self.keep) for ring in rings]
        self.sums = [float(one) for one in sums]
        least, most = kept["bounds"]
        self.bounds = (least, most)


def rounded(value: float) -> float:
    """Six figures: what a ring keeps, so that it is short when written."""
    return float(f"{value:.6g}")
