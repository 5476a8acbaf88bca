"""The judge of shares passes over buckets that cannot matter: it says what one says that looks at each event."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from rollups.cells import Cell
from rules.judges.base import Scope
from rules.judges.ratio import RatioJudge
from rules.series import Slots, Totals

BUCKET_MS = 5_000
ALL = Scope(2**62, None, BUCKET_MS)


class Thorough(RatioJudge):
    def _thinkable(self, n: int, k: int, more: Totals) -> bool:
        return True


buckets = st.lists(
    st.tuples(st.integers(0, 30), st.lists(st.tuples(st.integers(0, BUCKET_MS - 1), st.booleans()), min_size=1, max_size=12)),
    max_size=20,
)


def slots_of(drawn: list[tuple[int, list[tuple[int, bool]]]], failing: bool) -> Slots:
    """Buckets with events, of which those that fail are marked, or the others."""
    slots, names = Slots(), iter(range(10**6))
    for number, events in drawn:
        bucket = number * BUCKET_MS
        for bad in (False, True):
            times = sorted(bucket + offset for offset, fails in events if fails is bad)
            if times:
                samples = [(ms, name, name) for ms in times[:4] for name in [f"e{next(names)}"]]
                slots.slot(bucket).put((bad,), bad is failing, Cell(count=len(times), times=times, samples=samples))
    return slots


@given(
    buckets,
    st.sampled_from([("over", ">"), ("over", ">="), ("under", "<"), ("under", "<="), ("over", "=="), ("over", "!=")]),
    st.sampled_from([Fraction(1, 20), Fraction(1, 3), Fraction(1, 2)]),
    st.sampled_from([1, 2, 12]),
    st.sampled_from([1, 5]),
    st.sampled_from([0.0, 1.96]),
)
def test_what_is_passed_over_would_not_have_changed_anything(
    drawn: list[tuple[int, list[tuple[int, bool]]]],
    way: tuple[str, str],
    share: Fraction,
    window: int,
    min_events: int,
    z: float,
) -> None:
    side, comparison = way
    threshold = share if side == "over" else 1 - share
    given_ = (comparison, threshold, (comparison, threshold), window * BUCKET_MS, min_events, z)
    slots = slots_of(drawn, failing=side == "over")
    assert list(RatioJudge(*given_).points(slots, 0, ALL)) == list(Thorough(*given_).points(slots, 0, ALL))


def test_healthy_buckets_are_not_looked_at_event_by_event() -> None:
    slots = slots_of([(number, [(100 * n, n == 0) for n in range(40)]) for number in range(30)], failing=True)
    judge = RatioJudge(">", Fraction(1, 20), (">", Fraction(1, 20)), 60_000, 5, 1.96)
    list(judge.points(slots, 0, ALL))
    assert [slot.totals._events is None for slot in slots.between(0)] == [False] + [True] * 29
