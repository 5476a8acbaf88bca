"""What the sum over sources keeps at hand, and what it adds up for whom."""

from hypothesis import given
from hypothesis import strategies as st

from rollups.cells import Cell, as_row
from rollups.merger import Merger
from runtime.names import Source

BUCKET, MINUTE = 5_000, 60_000
NOW = 1_795_420_800_000
PAYMENTS, HEALTH = Source("payments", "id", 0), Source("health", "id", 0)


def offered(merger: Merger, source: Source, bucket: int, table: str = "payments", count: int = 1) -> None:
    merger.offer(source, table, bucket, 0, count, [(("key",), as_row(Cell(count=count, times=[bucket] * count), bucket))])


def settled(merger: Merger) -> None:
    merger.take_changed()
    merger.take_rows()
    merger.evict(0)


@given(
    st.lists(
        st.tuples(st.sampled_from([PAYMENTS, HEALTH]), st.sampled_from([NOW, NOW + BUCKET]), st.integers(1, 9)), min_size=1
    )
)
def test_of_each_source_the_version_with_the_most_events_counts_in_whatever_order_they_come(offers):
    merger, most = Merger(BUCKET), {}
    for source, bucket, count in offers:
        offered(merger, source, bucket, count=count)
        most[source, bucket] = max(count, most.get((source, bucket), 0))
    found = {bucket: cells["key",].count for (_, bucket), cells in merger.take_changed().items()}
    for bucket in found:
        assert found[bucket] == sum(count for (_, at), count in most.items() if at == bucket)
    assert merger.take_rows()["payments"][NOW]["key",].count == sum(most.values())


def test_of_two_versions_the_one_with_more_events_is_the_later():
    for counts, later in (([3, 4], 4), ([4, 3], 4), ([4, 4], 4), ([3], 3)):
        merger = Merger(BUCKET)
        for count in counts:
            offered(merger, PAYMENTS, NOW, count=count)
        assert merger.take_changed()["payments", NOW]["key",].count == later


def test_what_a_source_on_a_backlog_has_come_to_is_not_forgotten_while_another_is_at_the_present():
    merger, then = Merger(BUCKET), NOW - 60 * MINUTE
    merger.progress(HEALTH).advance(1, NOW - MINUTE // 2, NOW, False)
    merger.progress(PAYMENTS).advance(1, then - MINUTE // 2, then, True)
    offered(merger, PAYMENTS, then)
    settled(merger)
    assert merger.absent([then]) == set()


def test_once_it_has_gone_on_the_bucket_is_forgotten():
    merger, then = Merger(BUCKET), NOW - 60 * MINUTE
    merger.progress(HEALTH).advance(1, NOW - MINUTE // 2, NOW, False)
    offered(merger, PAYMENTS, then)
    merger.progress(PAYMENTS).advance(2, then + 10 * MINUTE, then + 10 * MINUTE, True)
    settled(merger)
    assert then in merger.absent([then])


def test_what_was_never_here_is_not_looked_for_unless_it_is_older_than_what_was_loaded():
    merger, then = Merger(BUCKET), NOW - 60 * MINUTE
    merger.begin(then - BUCKET)
    merger.progress(HEALTH).advance(1, NOW - MINUTE // 2, NOW, False)
    settled(merger)
    assert merger.absent([then, then + MINUTE]) == set()
    assert merger.absent([then - 10 * MINUTE]) == {then - 10 * MINUTE, then - 10 * MINUTE + BUCKET}


def test_of_very_many_rows_that_were_forgotten_the_older_half_counts_as_older_than_what_was_loaded(monkeypatch):
    monkeypatch.setattr("rollups.merger.FORGOTTEN_LIMIT", 2)
    merger, rows = Merger(BUCKET), [NOW - (60 - number) * MINUTE for number in range(3)]
    merger.progress(HEALTH).advance(1, NOW - MINUTE // 2, NOW, False)
    for row in rows:
        offered(merger, PAYMENTS, row)
    settled(merger)
    assert merger.absent([rows[0] - MINUTE]) == {rows[0] - MINUTE, rows[0] - MINUTE + BUCKET}
    assert merger.absent(rows) == {bucket for row in rows for bucket in (row, row + BUCKET)}
    assert merger.absent([rows[1] + MINUTE // 2]) == set()


def test_only_what_is_asked_for_is_added_up():
    merger = Merger(BUCKET)
    offered(merger, PAYMENTS, NOW)
    offered(merger, HEALTH, NOW, "merchants")
    assert list(merger.take_changed({"payments"})) == [("payments", NOW)]
    assert merger.take_changed() == {}
