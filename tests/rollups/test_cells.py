"""Cells: adding them is order-free to the last digit, and a cell of one source only grows."""

from hypothesis import given
from hypothesis import strategies as st

from rollups.cells import EXACT_BELOW, Cell, Stat, added, as_row, pack, tallied, unpack
from rollups.sketch import bin_of

BUCKET = 1_790_000_000_000


@st.composite
def cells(draw, most=5):
    """A cell as folding makes it: of up to `most` events with one sketched measure that some lack."""
    events = draw(
        st.lists(
            st.tuples(st.integers(0, 4_999), st.text("ab", min_size=1, max_size=3), st.none() | st.integers(0, 10**12)),
            max_size=most,
        )
    )
    cell = Cell(1, recent=[])
    for ms, identity, value in events:
        one = Cell(
            count=1,
            times=[BUCKET + ms],
            samples=[(BUCKET + ms, f"e{ms}{identity}", identity)],
            recent=[BUCKET + ms],
            stats=[Stat() if value is None else Stat(1, value, value, value, {bin_of(value): 1})],
        )
        cell.add(one)
    return cell


def merged(many, *, sketches=True):
    """The sum of cells, one by one."""
    total = Cell()
    for cell in many:
        total.add(cell, sketches=sketches)
    return total


@given(cells(), cells(), cells())
def test_adding_is_associative(a, b, c):
    assert merged([merged([a, b]), c]) == merged([a, merged([b, c])])


@given(cells(), cells())
def test_adding_is_commutative(a, b):
    assert merged([a, b]) == merged([b, a])


@given(cells())
def test_an_empty_cell_adds_nothing(a):
    assert merged([a, Cell()]) == merged([a])


@given(cells(most=40), cells(most=40))
def test_exact_times_are_kept_below_64_events_and_dropped_from_there_on(a, b):
    total = merged([a, b])
    if total.count < EXACT_BELOW:
        assert sorted(total.times) == sorted(a.times + b.times)
    else:
        assert total.times is None


@given(cells(), cells())
def test_adding_leaves_what_was_added_alone(a, b):
    before = unpack(as_row(b, BUCKET), BUCKET)
    merged([a, b, b])
    assert b == before


@given(cells())
def test_a_packed_cell_comes_back_as_it_was(a):
    assert unpack(as_row(a, BUCKET), BUCKET) == a


@given(st.lists(cells(most=40), min_size=1, max_size=4), st.booleans())
def test_rows_add_up_as_their_cells_do(many, sketches):
    rows, total = [as_row(cell, BUCKET) for cell in many], merged(many, sketches=sketches)
    assert added(rows, BUCKET, sketches=sketches) == total
    tally = tallied(rows, sketches=sketches)
    assert (tally.count, tally.stats) == (total.count, total.stats)


def test_rows_of_which_one_lacks_a_measure_add_up():
    short, long = Cell(count=1, times=[BUCKET]), Cell(count=1, times=[BUCKET], stats=[Stat(1, 7, 7, 7)])
    assert added([as_row(short, BUCKET), as_row(long, BUCKET)], BUCKET) == merged([short, long])


def test_a_sum_beyond_63_bits_survives_json_readers():
    cell = Cell(count=1, times=[BUCKET], stats=[Stat(1, 2**70, 2**70, 2**70)])
    assert pack(cell, BUCKET)[4][0][1] == str(2**70)
    assert unpack(as_row(cell, BUCKET), BUCKET) == cell
    assert added([as_row(cell, BUCKET)] * 2, BUCKET).stats[0].total == 2**71


def test_samples_are_the_earliest_of_four_distinct_transactions():
    cell = Cell()
    seen = [(9, "e9", "t1"), (1, "e1", "t1"), (5, "e5", "t2"), (2, "e2", "t3"), (8, "e8", "t4"), (7, "e7", "t5")]
    for ms, event, transaction in seen:
        cell.add_sample(ms, event, transaction)
    assert [event for _, event, _ in cell.samples] == ["e1", "e2", "e5", "e7"]
