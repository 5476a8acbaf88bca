"""The seasonal guard: is the value of a closed window what is to be expected at this time of day and week?

It is fed one value a step, in order of event time, and knows nothing else: the same values make the same state, whoever
feeds them and in however many calls. Judged is each step; learned is once a slot (15 minutes, or the step where that is
longer), so that noise is measured on the scale on which it is judged. docs/baseline.md explains it and says what it is worth.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil, exp, gcd
from typing import Any, Literal, NamedTuple

from rules.baseline.calendar import DAY_MS, Calendar, Place
from rules.baseline.profile import COUNTS, FLOOR, HELP_MS, HOUR_MS, LEVEL_MS, NOISE_MS, VALUES, Band, Profile, rounded

MINUTE_MS = 60_000
SLOT_MS = 15 * MINUTE_MS
WINDOW_MS = 15 * MINUTE_MS
WIDEST_MS = 4 * HOUR_MS
"""So far a window of few events is widened."""
ENOUGH = 10.0
"""Expected events from which a window of counts is judged."""
PRESENT = 0.8
"""Share of the window's time that must be known."""
SHARE, RISE = 0.6, 1.5
MORE_EVENTS = 5.0
LEAST_Z = 4.0
ABOVE_PEAKS = 1.25
PEAK_DAYS = 14
CLEAR_MS = 30 * MINUTE_MS
"""A page is closed when things have been clear for so long."""
ADOPT_MS = DAY_MS
"""What has lasted for so long is the new normal."""
NOTHING = 0.01
"""Share of what is expected below which nothing comes: that never becomes normal."""
LEARNING_MS = DAY_MS
WEEK_MS = 7 * DAY_MS
ALIKE = 3.0
"""Noise by which two values may differ that are to be the same."""
SWITCH = 0.95
KEEP = {"day": 7, "week": 4}
NEED = {"day": 1, "week": 2}
FORMAT = 1

State = Literal["learning", "unknown", "skipped", "few", "normal", "drop", "rise"]
"""learning: less than a day of history, or none of this slot. unknown: too little of the window is known. skipped: a special
day that is not judged. few: fewer than `ENOUGH` events are expected, even in the widest window."""
Direction = Literal["drop", "rise", "both"]
Which = Literal["day", "week"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the guard says of the window that ended with a step. Values are sums of the window for counts, means otherwise.

    start_ms, end_ms: the window. value; expected, low, high: what is expected of it and the band; share: of `low` below which
    it is a drop. z: how many times the normal noise it lies beyond the band, downwards if `below`; limit: the z above which it
    pages. breach: this window is abnormal; clear: it is well again; open_since: the end of the window that opened the page
    which is open now, None if none is. which, rests_on: the profile, and how many past values the expectation rests on.
    weekday: 0 for Monday, of the profile. known_ms: how much history there is.
    """

    state: State
    start_ms: int
    end_ms: int
    wanted_ms: int
    known_ms: int
    share: float
    value: float | None = None
    expected: float | None = None
    low: float | None = None
    high: float | None = None
    z: float = 0.0
    limit: float = LEAST_Z
    below: bool = True
    clear: bool = False
    open_since: int | None = None
    which: Which | None = None
    rests_on: int = 0
    weekday: int = 0

    @property
    def breach(self) -> bool:
        return self.state in ("drop", "rise")

    @property
    def open(self) -> bool:
        return self.open_since is not None

    @property
    def window_ms(self) -> int:
        return self.end_ms - self.start_ms

    @property
    def widened(self) -> bool:
        return self.window_ms > self.wanted_ms


class _Step(NamedTuple):
    """A known step and what was expected of it."""

    start_ms: int
    value: float
    band: Band


class _Sum(NamedTuple):
    """Steps added up, or averaged: value and band, and how many steps they stand for."""

    value: float
    middle: float
    low: float
    high: float
    steps: int


class Guard:
    """Judges one series.

    step_ms: the time one value stands for, 1 min to 1 h; counts: values are numbers of events, not measured values.
    window_ms: what is judged, longer where few events are expected; share: a drop is below this share of what is expected;
    rise: a rise is above so many times of it.
    Raises ValueError for a step that does not fit an hour.
    """

    def __init__(
        self,
        step_ms: int = MINUTE_MS,
        window_ms: int = WINDOW_MS,
        share: float = SHARE,
        *,
        rise: float = RISE,
        counts: bool = True,
        direction: Direction = "drop",
        calendar: Calendar | None = None,
    ) -> None:
        self.step_ms, self.share, self.rise, self.direction = step_ms, share, rise, direction
        self.slot_ms = slot_ms(step_ms)
        self.window_ms = max(window_ms, step_ms)
        self.counts = counts
        self._calendar = Calendar() if calendar is None else calendar
        self._scale = COUNTS if counts else VALUES
        of_day, steps, reach = DAY_MS // self.slot_ms, self.slot_ms // step_ms, HELP_MS // self.slot_ms
        self._profiles: dict[Which, Profile] = {
            "day": Profile(of_day, KEEP["day"], NEED["day"], self._scale, steps, reach),
            "week": Profile(7 * of_day, KEEP["week"], NEED["week"], self._scale, steps, reach),
        }
        self._which: Which = "day"
        self._by: Which = "day"
        self._mean = self._mean_n = 0.0
        self._known_ms = 0
        self._next: int | None = None
        self._heard: int | None = None
        # The slot that is being filled: its start, sum and steps, whether something abnormal was in it.
        self._slot: int | None = None
        self._sum, self._steps, self._spoiled = 0.0, 0, False
        self._finished: tuple[int, float] | None = None
        self._window: deque[_Step] = deque()
        self._day: int | None = None
        self._top = [0.0, 0.0]
        self._peaks: tuple[deque[float], deque[float]] = (deque(maxlen=PEAK_DAYS), deque(maxlen=PEAK_DAYS))
        self._open: int | None = None
        self._clear: int | None = None
        self._frozen: int | None = None
        self._while_open = [0.0, 0.0]
        self._doubts: dict[int, tuple[int, float]] = {}
        self._place: Place | None = None
        self._band: Band | None = None
        self._rests_on = 0

    @property
    def next_ms(self) -> int | None:
        """Where the next step begins; None before the first."""
        return self._next

    @property
    def learning(self) -> bool:
        return self._known_ms < LEARNING_MS

    # --- feeding ------------------------------------------------------------------------------------------------------

    def step(self, start_ms: int, value: float | None) -> Reading:
        """Judges the window that ends with a step, and learns from the step. None, or a step left out: it is not known.

        Raises ValueError for a step that is not on the grid, or not after the last.
        """
        self._advance(start_ms, self.step_ms)
        end = start_ms + self.step_ms
        if value is not None:
            self._hear(start_ms, self.step_ms)
        self._enter(start_ms)
        if value is not None and self._band is not None:
            self._window.append(_Step(start_ms, value, self._band))
        self._trim(end)
        reading = self._judge(end)
        if value is not None:
            self._sum += value
            self._steps += 1
        if reading.breach and not self._spoiled:
            self._spoiled, self._finished = True, None  # what led here is no example of what is normal either
        if self.open:
            self._spoiled = True
        if end % self.slot_ms == 0:
            self._leave()
        return reading

    def learn(self, start_ms: int, value: float, width_ms: int, pieces: Sequence[float] | None = None) -> None:
        """Takes over history without judging it: the value of a stretch of 1 min to 1 h, in order, before the first step.

        pieces: how a count spreads over stretches of equal width that fit both it and a slot (see
        `rules.baseline.history.spread`); evenly unless said. Raises ValueError like `step`.
        """
        self._advance(start_ms, width_ms)
        self._hear(start_ms, width_ms)
        steps = width_ms / self.step_ms
        if self.slot_ms % width_ms == 0 and width_ms % self.step_ms == 0:
            self._enter(start_ms)
            self._sum += value * (1 if self.counts else steps)
            self._steps += round(steps)
            if (start_ms + width_ms) % self.slot_ms == 0:
                self._leave()
            return
        piece_ms = gcd(width_ms, self.slot_ms) if pieces is None else width_ms // len(pieces)
        if pieces is None:
            n = width_ms // piece_ms
            pieces = [value / n if self.counts else value] * n
        places = [self._calendar.place(start_ms + at * piece_ms, self.slot_ms) for at in range(len(pieces))]
        self._compare(value if self.counts else value * steps, places, piece_ms / self.step_ms, width_ms)
        for at, piece in enumerate(pieces):
            start = start_ms + at * piece_ms
            self._enter(start)
            self._sum += piece if self.counts else piece * piece_ms / self.step_ms
            self._steps += round(piece_ms / self.step_ms)
            if (start + piece_ms) % self.slot_ms == 0:
                self._remember()

    @property
    def open(self) -> bool:
        """Whether a page is open."""
        return self._open is not None

    def usual(self, start_ms: int, width_ms: int, sure: float) -> tuple[float, float] | None:
        """Between what a stretch of time may lie: the band of its slots, with `sure` times the normal noise on either side; of
        counts the sum of the stretch. None: nothing is expected of some of it.

        For whoever shows it, by what is known now; what was expected when a step was judged may have been a little else.
        """
        end, parts = start_ms + width_ms, list[tuple[Profile, Band, float]]()
        at = start_ms
        while at < end:
            slot = at - at % self.slot_ms
            until = min(slot + self.slot_ms, end)
            found = self._expects(slot)
            if found is None:
                return None
            parts.append((*found, (until - at) / self.step_ms))
            at = until
        profile, steps = parts[-1][0], sum(part for _, _, part in parts)
        n = 1.0 if self.counts else steps
        low, high = (sum(band[edge] * part for _, band, part in parts) / n for edge in (1, 2))
        floor = FLOOR * self._mean * (steps if self.counts else 1.0)
        scale = self._scale
        return (
            scale.shifted(low, -sure * profile.noise(low, floor)),
            scale.shifted(high, sure * profile.noise(high, floor)),
        )

    def _expects(self, slot_ms: int) -> tuple[Profile, Band] | None:
        """What is expected of a step of a slot, by the profile that is used for it."""
        place = self._calendar.place(slot_ms, self.slot_ms)
        if self.learning or place.special == "skip":
            return None
        for which in self._preferred(place):
            profile = self._profiles[which]
            band = profile.band(*self._in(which, place))
            if band is not None:
                return profile, Band(*(edge * profile.level for edge in band))
        return None

    def _advance(self, start_ms: int, width_ms: int) -> None:
        if start_ms % gcd(width_ms, SLOT_MS):
            raise ValueError(f"a step of {width_ms} ms cannot begin at {start_ms} ms")
        if self._next is not None and start_ms < self._next:
            raise ValueError(f"steps go forward: {start_ms} ms comes after {self._next} ms")
        self._next = start_ms + width_ms

    def _hear(self, start_ms: int, width_ms: int) -> None:
        """A known step: after a gap, the level before it says less."""
        if self._heard is not None and start_ms > self._heard:
            for profile in self._profiles.values():
                profile.forget_level(start_ms - self._heard)
        self._heard = start_ms + width_ms
        self._known_ms += width_ms

    def _enter(self, start_ms: int) -> None:
        """Goes into the slot of a time, out of the one before if it was not finished."""
        slot = start_ms - start_ms % self.slot_ms
        if slot == self._slot:
            return
        if self._slot is not None:
            self._leave()
        self._slot = slot
        self._look_up()

    def _look_up(self) -> None:
        """What is expected of a step of this slot: it does not change until the slot is over."""
        assert self._slot is not None
        place = self._place = self._calendar.place(self._slot, self.slot_ms)
        if place.day != self._day:
            if self._day is not None:
                for peaks, top in zip(self._peaks, self._top, strict=True):
                    peaks.append(rounded(top))
            self._day, self._top = place.day, [0.0, 0.0]
        self._band, self._rests_on = None, 0
        if self.learning or place.special == "skip":
            return
        for which in self._preferred(place):
            profile = self._profiles[which]
            slot, need = self._in(which, place)
            band = profile.band(slot, need)
            if band is not None:
                level = profile.level
                self._by, self._rests_on = which, len(profile.rings[slot])
                self._band = Band(*(rounded(one * level) for one in band))
                if place.special is None:
                    self._which = which
                return

    def _preferred(self, place: Place) -> list[Which]:
        """The profiles, the one to use first. It changes only for one that is 5 % better."""
        if place.special == "sunday":
            return ["week"]  # the day does not know Sundays
        used: Which = self._which
        other: Which = "week" if used == "day" else "day"
        one, two = self._profiles[used], self._profiles[other]
        if one.fitted and two.fitted and two.misfit < SWITCH * one.misfit:
            return [other, used]
        return [used, other]

    @staticmethod
    def _in(which: Which, place: Place) -> tuple[int, int]:
        """Its slot in a profile, and how many values that needs: of a special day's Sunday one is better than none."""
        if which == "day":
            return place.of_day, NEED["day"]
        return place.of_week, 1 if place.special else NEED["week"]

    # --- judging ------------------------------------------------------------------------------------------------------

    def _trim(self, end: int) -> None:
        """Leaves the shortest window that is long enough and of which enough events are expected."""
        window = self._window
        low = sum(step.band.low for step in window)
        while window:
            first = window[0]
            if first.start_ms >= end - self.window_ms:
                return
            if first.start_ms >= end - WIDEST_MS and self.counts and low - first.band.low < ENOUGH:
                return
            low -= first.band.low
            window.popleft()

    def _add(self, steps: Sequence[_Step]) -> _Sum:
        n = 1 if self.counts else len(steps)
        middle, low, high = (sum(step.band[edge] for step in steps) / n for edge in range(3))
        return _Sum(sum(step.value for step in steps) / n, middle, low, high, len(steps) if self.counts else 1)

    def _judge(self, end: int) -> Reading:
        window = list(self._window)
        start = min(window[0].start_ms, end - self.window_ms) if window else end - self.window_ms
        if self._place is not None and self._place.special == "skip":
            return self._unjudged("skipped", start, end)
        if self._band is None:
            return self._unjudged("learning", start, end)
        if len(window) * self.step_ms < PRESENT * (end - start):
            return self._unjudged("unknown", start, end)
        whole = self._add(window)
        short = self._add(window[-ceil(len(window) / 3) :])
        z = (self._z(whole, down=True), self._z(whole, down=False))
        limits = (self._limit(0), self._limit(1))
        few = self.counts and whole.low < ENOUGH
        drop = not few and self._drops(whole, short, z[0] > limits[0])
        rise = self._rises(whole, short, z[1] > limits[1])
        state: State = "drop" if drop else "rise" if rise else "few" if few else "normal"
        if not self.open:
            self._top = [max(top, min(one, limit)) for top, one, limit in zip(self._top, z, limits, strict=True)]
        clear = not drop and not rise and self._clears(short, limits)
        self._page(drop or rise, clear, end)
        below = z[0] >= z[1]
        return Reading(
            state,
            start,
            end,
            self.window_ms,
            self._known_ms,
            self.share,
            whole.value,
            whole.middle,
            whole.low,
            whole.high,
            z[0] if below else z[1],
            limits[0] if below else limits[1],
            below,
            clear,
            self._open,
            self._by,
            self._rests_on,
            0 if self._place is None else self._place.of_week * self.slot_ms // DAY_MS,
        )

    def _unjudged(self, state: State, start: int, end: int) -> Reading:
        """Nothing can be said; a page that is open stays open."""
        self._clear = None
        return Reading(
            state, start, end, self.window_ms, self._known_ms, self.share, limit=self._limit(0), open_since=self._open
        )

    def _drops(self, whole: _Sum, short: _Sum, improbable: bool) -> bool:
        low = whole.value < self.share * whole.low and short.value < self.share * short.low
        return improbable and low and self.direction != "rise"

    def _rises(self, whole: _Sum, short: _Sum, improbable: bool) -> bool:
        high = whole.value > self.rise * whole.high and short.value > self.rise * short.high
        enough = not self.counts or whole.value - whole.high >= MORE_EVENTS
        return improbable and high and enough and self.direction != "drop"

    def _z(self, found: _Sum, *, down: bool) -> float:
        """How many times the normal noise a value lies beyond the band."""
        edge = found.low if down else found.high
        noise = self._profiles[self._by].noise(edge, FLOOR * self._mean * found.steps)
        deviation = self._scale.deviation(found.value, edge) / noise
        return -deviation if down else deviation

    def _limit(self, direction: int) -> float:
        """The bar: a series that is often wild raises its own."""
        peaks = sorted(self._peaks[direction])
        return max(LEAST_Z, ABOVE_PEAKS * peaks[-3]) if len(peaks) > 2 else LEAST_Z

    def _clears(self, short: _Sum, limits: tuple[float, float]) -> bool:
        """Whether the last third of the window is back, or no longer improbable. Silence alone ends no drop, not even at a time
        when little is expected."""
        if self.direction == "drop" and self.counts and short.value <= 0:
            return False
        full = short.value >= (1 + self.share) / 2 * short.low or self._z(short, down=True) < limits[0] / 2
        calm = short.value <= (1 + self.rise) / 2 * short.high or self._z(short, down=False) < limits[1] / 2
        return (full or self.direction == "rise") and (calm or self.direction == "drop")

    def _page(self, breach: bool, clear: bool, end: int) -> None:
        if self._open is None:
            if breach:
                self._open = self._frozen = end
                self._clear, self._while_open = None, [0.0, 0.0]
        elif not clear:
            self._clear = None
        else:
            self._clear = end - self.step_ms if self._clear is None else self._clear
            if end - self._clear >= CLEAR_MS:
                self._open = self._clear = self._frozen = None

    # --- learning -----------------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        """The slot is over: learns from it, unless it is no example."""
        if self._place is None or not self._steps:
            self._reset()
            return
        if self._spoiled:
            self._doubt()
            if self.open:
                self._adopt()
            self._reset()
            return
        self._compare(self._sum, [self._place], self._steps, self._steps * self.step_ms)
        self._remember()

    def _reset(self) -> None:
        self._slot, self._sum, self._steps, self._spoiled = None, 0.0, 0, False

    def _compare(self, total: float, places: Sequence[Place], steps: float, width_ms: int) -> None:
        """Learns level and noise. total: the sum of all values; steps: in each place."""
        if any(place.special == "skip" for place in places):
            return
        n = steps * len(places)
        per = 1.0 if self.counts else 1 / n
        floor = FLOOR * self._mean * n * per
        for which, profile in self._profiles.items():
            if which == "day" and places[0].special is not None:
                continue  # a special day is no example of a day
            said = [profile.says(*self._in(which, place)) for place in places]
            known = [one for one in said if one is not None]
            if len(known) == len(places):
                profile.compare(total * per, sum(known) * steps * per, floor, width_ms)
        if places[0].special is not None:
            return
        fade = exp(-width_ms / NOISE_MS)
        settled = self._mean_n > DAY_MS / width_ms / 4
        value = min(total / n, 4 * self._mean) if settled else total / n
        self._mean_n = self._mean_n * fade + 1
        self._mean += (value - self._mean) / self._mean_n

    def _remember(self) -> None:
        """Puts the slot before into its rings, and keeps this one back: if things turn out to have begun to go wrong in it,
        it is no example."""
        if self._slot is not None and self._steps and self._place is not None and self._place.special is None:
            self._push()
            self._finished = (self._slot, rounded(self._sum / self._steps))
        self._reset()

    def _push(self) -> None:
        if self._finished is None:
            return
        start, mean = self._finished
        place = self._calendar.place(start, self.slot_ms)
        self._profiles["day"].rings[place.of_day].append(mean)
        self._profiles["week"].rings[place.of_week].append(mean)
        self._finished = None

    def _doubt(self) -> None:
        """What was abnormal is no example; unless it was as much at the same time a week ago: then it is a rhythm, such as a
        quiet weekend, and both are examples for the week."""
        assert self._slot is not None and self._place is not None
        if self._place.special is not None:
            return
        start, mean = self._slot, rounded(self._sum / self._steps)
        self._doubts = {at: one for at, one in self._doubts.items() if one[0] >= start - WEEK_MS - HOUR_MS}
        before = self._doubts.pop(self._place.of_week, None)
        if before is not None and abs(start - before[0] - WEEK_MS) <= HOUR_MS and self._alike(before[1], mean):
            self._profiles["week"].rings[self._place.of_week].extend((before[1], mean))
        else:
            self._doubts[self._place.of_week] = (start, mean)

    def _alike(self, one: float, other: float) -> bool:
        steps = self._steps if self.counts else 1
        x, mu = one * steps, other * steps
        noise = self._profiles["day"].noise(mu, FLOOR * self._mean * steps)
        return abs(self._scale.deviation(x, mu)) <= ALIKE * noise

    def _adopt(self) -> None:
        """What a page is about becomes the new normal after a day, unless next to nothing comes."""
        assert self._slot is not None and self._frozen is not None
        if self._slot < self._frozen:
            return  # what came before it began is not what it is about
        end = self._slot + self.slot_ms
        if self._band is not None:
            fade = exp(-self.slot_ms / LEVEL_MS)
            news = (self._sum, self._band.middle * self._steps)
            self._while_open = [one * fade + new for one, new in zip(self._while_open, news, strict=True)]
        held, said = self._while_open
        if end - self._frozen < ADOPT_MS or said <= 0 or self._band is None:
            return
        if held < NOTHING * said:
            self._frozen, self._while_open = end, [0.0, 0.0]
            return
        if self._clear is not None or not self._alike(held / said * self._band.middle, self._sum / self._steps):
            return  # it is changing: what is normal now will be seen
        for profile in self._profiles.values():
            profile.shift(held / said)
        self._window.clear()  # what was expected of these steps is no longer
        self._frozen, self._while_open = end, [0.0, 0.0]

    # --- keeping ------------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """All that is kept, as plain JSON values."""
        groups = [
            [list(band), list(map(list, ((step.start_ms, step.value) for step in steps)))]
            for band, steps in groupby(self._window, key=lambda step: step.band)
        ]
        return {
            "format": FORMAT,
            "step_ms": self.step_ms,
            "counts": self.counts,
            "zone": self._calendar.zone,
            "profiles": {which: profile.snapshot() for which, profile in self._profiles.items()},
            "which": self._which,
            "mean": [self._mean, self._mean_n],
            "known_ms": self._known_ms,
            "next": [self._next, self._heard],
            "slot": [self._slot, self._sum, self._steps, self._spoiled],
            "band": None if self._band is None else [list(self._band), self._rests_on],
            "by": self._by,
            "finished": None if self._finished is None else list(self._finished),
            "doubts": [[at, *one] for at, one in self._doubts.items()],
            "window": groups,
            "peaks": [self._day, list(self._top), *(list(peaks) for peaks in self._peaks)],
            "page": [self._open, self._clear, self._frozen, *self._while_open],
        }

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Goes on from a snapshot. Window, share, direction and special days may be others than they were.

        Raises ValueError if it is of another step, kind of value, zone or format, or is not a snapshot.
        """
        ours = (FORMAT, self.step_ms, self.counts, self._calendar.zone)
        theirs = tuple(kept.get(name) for name in ("format", "step_ms", "counts", "zone"))
        if theirs != ours:
            raise ValueError(f"the baseline was kept for {theirs}, not {ours} (format, step, counts, zone)")
        try:
            self._restore(kept)
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"the kept baseline is damaged: {error!r}") from None

    def _restore(self, kept: Mapping[str, Any]) -> None:
        for which, profile in self._profiles.items():
            profile.restore(kept["profiles"][which])
        self._which, self._by = kept["which"], kept["by"]
        self._mean, self._mean_n = kept["mean"]
        self._known_ms = kept["known_ms"]
        self._next, self._heard = kept["next"]
        self._slot, self._sum, self._steps, self._spoiled = kept["slot"]
        band, self._rests_on = (None, 0) if kept["band"] is None else kept["band"]
        self._band = None if band is None else Band(*band)
        finished = kept["finished"]
        self._finished = None if finished is None else (finished[0], finished[1])
        self._window = deque(
            _Step(start, value, Band(*edges)) for edges, steps in kept["window"] for start, value in steps
        )
        self._doubts = {at: (start, mean) for at, start, mean in kept["doubts"]}
        self._day, top, *peaks = kept["peaks"]
        self._top = list(top)
        self._peaks = (deque(peaks[0], PEAK_DAYS), deque(peaks[1], PEAK_DAYS))
        self._open, self._clear, self._frozen, *while_open = kept["page"]
        self._while_open = list(while_open)
        self._place = None if self._slot is None else self._calendar.place(self._slot, self.slot_ms)


def slot_ms(step_ms: int) -> int:
    """The width of a slot: the least multiple of the step that is 15 minutes or more and fits a day.

    Raises ValueError for a step outside 1 minute to 1 hour, or that does not fit an hour.
    """
    if not MINUTE_MS <= step_ms <= HOUR_MS or HOUR_MS % step_ms or step_ms % MINUTE_MS:
        raise ValueError("a step must be 1 minute to 1 hour and fit an hour")
    return next(width for width in range(step_ms, DAY_MS, step_ms) if width >= SLOT_MS and DAY_MS % width == 0)
