"""The memory of ids."""

from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from rollups.seen import Seen

IDS = "abcdefgh"
steps = st.lists(
    st.tuples(st.just("meet"), st.sampled_from(IDS))
    | st.tuples(st.just("add"), st.lists(st.sampled_from(IDS), max_size=5))
    | st.tuples(st.just("forget"), st.integers(0, 20))
)


@given(steps, st.integers(1, 6))
def test_it_knows_what_was_met_last(done, limit):
    seen, expected = Seen(limit), OrderedDict()
    for ms, (what, with_) in enumerate(done):
        if what == "meet":
            seen.meet(with_, ms)
            expected.pop(with_, None)
            expected[with_] = ms
        elif what == "add":
            new = seen.new(with_)
            assert new == next(
                (at for at, id in enumerate(with_) if id in expected or id in with_[:at]), len(with_)
            ), "up to the first that is known or comes twice"
            seen.add(with_[:new], [ms] * new)
            expected.update(dict.fromkeys(with_[:new], ms))
        else:
            seen.forget(ms - with_)
            while expected and next(iter(expected.values())) < ms - with_:
                expected.popitem(last=False)
        while len(expected) > limit:
            expected.popitem(last=False)
        assert {id: seen.when(id) for id in IDS} == {id: expected.get(id) for id in IDS}
        assert len(seen) == len(expected)


@given(steps, steps, st.integers(1, 6))
def test_who_learns_what_was_met_since_knows_the_same(before, after, limit):
    seen, other = Seen(limit), Seen(limit)
    for each in (seen, other):
        go(each, before, 0)
    met = seen.met
    go(seen, after, len(before))
    other.learn(*seen.since(met))
    now = len(before) + len(after)
    for each in (seen, other):
        each.forget(now - 20)  # what is too old may still be there in one of them
    assert {id: other.when(id) for id in IDS} == {id: seen.when(id) for id in IDS}
    assert seen.first <= seen.met


def go(seen, steps, since_ms):
    for ms, (what, with_) in enumerate(steps, since_ms):
        if what == "meet":
            seen.meet(with_, ms)
        elif what == "add":
            new = seen.new(with_)
            seen.add(with_[:new], [ms] * new)
        else:
            seen.forget(ms - 20)
