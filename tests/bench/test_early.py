"""The floor that bench.early measures from: when the five-minute rule's condition becomes true, worked out by hand."""

from __future__ import annotations

from bench.early import floor_ms, surely_beyond
from tests.support.desk import Desk, shipped
from tests.support.events import failed, succeeded

START_MS = 1_795_420_800_000
SECOND = 1_000


def every_second(start_s: int, end_s: int, bad: bool) -> list[tuple[int, bool]]:
    return [(START_MS + second * SECOND, bad) for second in range(start_s, end_s)]


def test_a_share_must_be_beyond_the_threshold_for_sure() -> None:
    assert surely_beyond(5, 5)
    assert not surely_beyond(1, 3)
    assert not surely_beyond(20, 300)  # 6.7 %, but it could well be 5 %
    assert surely_beyond(24, 300)
    assert not surely_beyond(6, 56)  # surely more than 5 %, and yet it comes five times a month where 2.5 % fail
    assert surely_beyond(8, 58)
    assert surely_beyond(800, 15_000) is False and surely_beyond(900, 15_000)


def test_the_floor_is_the_payment_that_makes_the_condition_true() -> None:
    healthy = every_second(0, 300, False)
    failing = every_second(300, 360, True)

    floor = floor_ms(healthy + failing)

    # The window is the open bucket and the 59 before it: with each that begins, the five healthy payments of one leave.
    expected = next(n for n in range(60) if surely_beyond(n + 1, 295 - n // 5 * 5 + n + 1))
    assert floor == START_MS + (300 + expected) * SECOND


def test_failures_that_left_the_window_do_not_count() -> None:
    old = every_second(0, 2, True)
    quiet = every_second(2, 310, False)

    assert floor_ms([*old, *quiet, (START_MS + 310 * SECOND, True)]) is None


def test_payments_of_one_millisecond_have_no_order() -> None:
    apart = [(START_MS + n, n < 5) for n in range(100)]
    together = [(START_MS, bad) for _, bad in apart]

    assert floor_ms(apart) == START_MS + 4
    assert floor_ms(together) is None  # 5 of 100 are no more than 5 %


def test_the_judge_names_the_same_payment() -> None:
    desk = Desk(shipped("payment_processing_failure"))
    events = [(START_MS + n * 700, n % 50 == 0 or (n > 300 and n % 8 == 0)) for n in range(1_000)]
    made = [(failed if bad else succeeded)(ms / 1_000) for ms, bad in events]

    told = desk.play(made, every_s=5.0)

    assert told[0].data.first_bad_at == floor_ms(events)
