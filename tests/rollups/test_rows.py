"""Merged rows as bytes: exact, of any size of number, and readable from their description alone."""

import json
import random
import re
import sys
import zlib
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollups.cells import Cell, Stat
from rollups.rows import COARSE_GRID, FINE_GRID, Sums, add_rows, decode_rows, encode_rows
from rollups.sketch import bin_of, quantile
from rollups.tables import RESOLUTIONS
from runtime.names import Names, Source
from schemas.tables import TABLES, Measure, Table

SALES = Table(
    "sales",
    ("shop", "weekend", "stars"),
    (Measure("price", thousandths=False, sketch=False), Measure("wait_ms", thousandths=True, sketch=True)),
    home=None,
)
VALUES = st.none() | st.booleans() | st.integers(0, 5) | st.text("abé'\"\n\\ ☂🙂\u2028", max_size=3)
KEYS = st.tuples(VALUES, VALUES, VALUES)


@st.composite
def stats(draw, sketch):
    """What up to eight events carried; a sum may be beyond any machine word."""
    values = draw(st.lists(st.integers(0, 10**12) | st.just(0), max_size=8))
    if not values:
        return Stat()
    bins = {}
    for value in values:
        bins[bin_of(value)] = bins.get(bin_of(value), 0) + 1
    total = sum(values) + draw(st.sampled_from((0, 0, 2**63, 2**64, 10**30)))
    return Stat(len(values), total, min(values), max(values), bins if sketch else None)


@st.composite
def rows(draw):
    # 1 and True are one key of a dict, so only one of them is drawn.
    keys = draw(st.lists(KEYS, max_size=6, unique=True))
    return {key: merged_cell(draw(st.integers(1, 2**70)), draw(stats(False)), draw(stats(True))) for key in keys}


def merged_cell(count, *found):
    return Cell(count=count, times=None, stats=list(found))


def exactly(rows):
    """Rows with the types of their dimensions, since 1 == True."""
    return [([(type(value), value) for value in key], cell) for key, cell in sorted(rows.items(), key=repr)]


def sketched(values):
    bins = {}
    for value in values:
        bins[bin_of(value)] = bins.get(bin_of(value), 0) + 1
    return Stat(len(values), sum(values), min(values), max(values), bins)


@given(rows(), st.sampled_from((None, COARSE_GRID, FINE_GRID)))
def test_what_was_packed_comes_back(rows, cut):
    assert exactly(decode_rows(SALES, encode_rows(SALES, rows, cut))) == exactly(rows)


@given(st.lists(rows(), min_size=1, max_size=3), st.sampled_from((None, FINE_GRID)), st.data())
def test_values_that_are_added_up_hold_what_their_cells_do(buckets, cut, data):
    bys = data.draw(st.lists(st.frozensets(st.sampled_from(SALES.dimensions)), min_size=1, max_size=3))
    only = [data.draw(st.none() | st.tuples(st.sampled_from(sorted(by)), VALUES)) if by else None for by in bys]
    sums = [Sums(by, data.draw(st.booleans()), chosen) for by, chosen in zip(bys, only, strict=True)]
    wanted = [{} for _ in sums]
    for held in buckets:
        value = encode_rows(SALES, held, cut)
        add_rows(SALES, value, sums)
        for one, total in zip(sums, wanted, strict=True):
            for key, cell in decode_rows(SALES, value).items():
                group = tuple(part if name in one.by else None for name, part in zip(SALES.dimensions, key, strict=True))
                if one.only is None or group[SALES.dimensions.index(one.only[0])] == one.only[1]:
                    total.setdefault(group, Cell()).add(cell, sketches=one.sketches)
    assert [one.cells for one in sums] == wanted


def test_the_number_one_and_true_are_two_values():
    rows = {("s", True, None): merged_cell(1, Stat(), Stat()), ("s", 1, 0): merged_cell(2, Stat(), Stat())}
    assert exactly(decode_rows(SALES, encode_rows(SALES, rows))) == exactly(rows)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_a_row(name):
    table = TABLES[name]
    key = tuple({"bool": True, "int": 4}.get(table.kinds[dimension], "x") for dimension in table.dimensions)
    cell = merged_cell(
        3, *(sketched([5_000, 7_000]) if one.sketch else Stat(2, 12_000, 5_000, 7_000) for one in table.measures)
    )
    assert exactly(decode_rows(table, encode_rows(table, {key: cell}))) == exactly({key: cell})


def test_times_and_samples_stay_with_the_source_cells():
    cell = Cell(count=1, times=[5], samples=[(5, "evt_1", "tx_1")], recent=[5], stats=[Stat(), Stat()])
    (read,) = decode_rows(SALES, encode_rows(SALES, {("s", None, None): cell})).values()
    assert (read.times, read.samples, read.recent) == (None, [], None)


# --- percentiles ------------------------------------------------------------------------------------------------------


@given(
    st.integers(0, 2**32),
    st.integers(2, 3_000),
    st.sampled_from(
        (
            lambda r: int(r.lognormvariate(14, 1.5)),
            lambda r: int(10 ** r.uniform(0, 12)),
            lambda r: r.choice((0, 1, 900_000, 30_000_000)),
        )
    ),
    st.sampled_from((COARSE_GRID, FINE_GRID)),
)
def test_a_sketch_cut_to_percentiles_gives_the_same_percentiles_and_all_else_exactly(seed, n, draw, grid):
    rng = random.Random(seed)
    whole = sketched([draw(rng) for _ in range(n)])
    (read,) = decode_rows(SALES, encode_rows(SALES, {("s",) * 3: merged_cell(n, Stat(), whole)}, grid)).values()
    stat = read.stats[1]
    assert (stat.n, stat.total, stat.low, stat.high) == (whole.n, whole.total, whole.low, whole.high)
    assert sum(stat.bins.values()) == n
    for q in grid.quantiles:
        assert quantile(stat.bins, q) == quantile(whole.bins, q)
    for low, high in pairwise(grid.quantiles):
        assert quantile(whole.bins, low) <= quantile(stat.bins, (low + high) / 2) <= quantile(whole.bins, high)


@pytest.mark.parametrize("grid", (COARSE_GRID, FINE_GRID))
def test_p50_p95_and_p99_are_on_every_grid_and_so_are_both_ends(grid):
    assert {0.0, 0.5, 0.95, 0.99, 1.0} <= set(grid.quantiles)
    assert list(grid.quantiles) == sorted(set(grid.quantiles))


@pytest.mark.parametrize("grid", (COARSE_GRID, FINE_GRID))
def test_a_short_sketch_is_never_cut(grid):
    whole = sketched([2**number for number in range(grid.long)])
    rows = {("s",) * 3: merged_cell(grid.long, Stat(), whole)}
    assert decode_rows(SALES, encode_rows(SALES, rows, grid)) == rows


def test_an_hour_made_of_minutes_that_were_cut_has_nearly_the_percentiles_of_the_whole():
    rng = random.Random(2)
    minutes = [sketched([int(rng.lognormvariate(14, 0.5)) for _ in range(3_000)]) for _ in range(60)]
    whole, made = Stat(), Stat()
    for minute in minutes:
        assert len(minute.bins) > FINE_GRID.long
        whole.add(minute)
        packed = encode_rows(SALES, {("s",) * 3: merged_cell(3_000, Stat(), minute)}, FINE_GRID)
        made.add(decode_rows(SALES, packed)["s", "s", "s"].stats[1])
    for q, most in ((0.5, 0.021), (0.95, 0.021), (0.99, 0.021)):
        assert abs(quantile(made.bins, q) / quantile(whole.bins, q) - 1) <= most


def test_an_hour_of_traffic_takes_fewer_bytes_as_percentiles():
    rng = random.Random(1)
    rows = {
        (f"shop-{number}", None, None): merged_cell(
            3_000, Stat(), sketched([int(rng.lognormvariate(14, 0.6)) for _ in range(3_000)])
        )
        for number in range(20)
    }
    whole, minute, hour = (len(encode_rows(SALES, rows, grid)) for grid in (None, FINE_GRID, COARSE_GRID))
    assert whole > 1.5 * minute > 1.8 * hour


# --- damage, and other programs ---------------------------------------------------------------------------------------


def test_an_unknown_version_is_an_error_that_says_so():
    with pytest.raises(ValueError, match="version 07"):
        decode_rows(SALES, b"\x07whatever")
    with pytest.raises(ValueError, match="version none"):
        decode_rows(SALES, b"")


def test_damage_is_an_error():
    value = encode_rows(SALES, {("s", None, None): merged_cell(1, Stat(), sketched([5]))})
    with pytest.raises(ValueError, match="damaged"):
        decode_rows(SALES, value[:-8])
    short = b"\x01" + zlib.compress(zlib.decompress(value[1:])[:-1])
    with pytest.raises(ValueError, match="cut short"):
        decode_rows(SALES, short)


def test_a_negative_measure_is_refused():
    with pytest.raises(ValueError, match="sales has a negative number"):
        encode_rows(SALES, {("s", None, None): merged_cell(2, Stat(2, 0, -5, 5), Stat())})


def test_another_program_reads_a_value_by_its_description():
    """Written from docs/redis-layout.md alone, without the codec."""
    rows = {
        ("north", True, 4): merged_cell(3, Stat(2, 300, 100, 200), sketched([1_000, 2_000, 2_000])),
        ("south", None, 5): merged_cell(70_000, Stat(), Stat()),
    }
    value = encode_rows(SALES, rows)
    assert value[0] == 1
    head, _, body = zlib.decompress(value[1:]).partition(b"\n")
    header = json.loads(head)
    columns, start = [], 0
    for length, width, divisor in header["columns"]:
        part = body[start : start + length * width]
        start += length * width
        columns.append(
            [divisor * sum(part[at + byte * length] << (8 * byte) for byte in range(width)) for at in range(length)]
        )
    dimensions = [[values[index] for index in columns[at]] for at, values in enumerate(header["keys"])]
    count, price_n, price_sum, price_min, price_max, wait_n, *wait = columns[3:]
    form, size, first, steps, hits = wait[3:]
    assert list(zip(*dimensions, strict=True)) == [("north", True, 4), ("south", None, 5)]
    assert (count, price_n, price_sum, price_min, price_max) == ([3, 70_000], [2, 0], [300], [100], [200])
    assert (wait_n, wait[:3], form, size, hits) == ([3, 0], [[5_000], [1_000], [2_000]], [0], [2], [1, 2])
    assert (first[0] - 1, first[0] - 1 + steps[0]) == (bin_of(1_000), bin_of(2_000))


# --- docs/redis-layout.md ---------------------------------------------------------------------------------------------

DOCS = (Path(__file__).parents[2] / "docs" / "redis-layout.md").read_text()


@pytest.mark.parametrize("grid", (None, COARSE_GRID, FINE_GRID))
def test_the_program_in_the_docs_reads_a_bucket(grid):
    (program,) = re.findall(r"^```python\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"^(?:import|from) (\w+)", program, re.MULTILINE)) <= set(sys.stdlib_module_names)
    names = {}
    exec(program, names)
    rng = random.Random(3)
    rows = {
        ("north", True, 4): merged_cell(3, Stat(2, 300, 100, 200), sketched([1_000, 2_000, 2_000])),
        ("north", None, 4): merged_cell(
            9_000, Stat(), sketched([int(rng.lognormvariate(14, 1)) for _ in range(9_000)])
        ),
        ("south", None, 5): merged_cell(70_000, Stat(1, 2**70, 1, 1), Stat()),
    }
    measures = [(one.name, one.thousandths, one.sketch) for one in SALES.measures]
    read = {
        (row["shop"], row["weekend"], row["stars"]): row
        for row in names["read_bucket"](encode_rows(SALES, rows, grid), SALES.dimensions, measures)
    }
    assert set(read) == set(rows)
    for key, cell in rows.items():
        price, wait = cell.stats
        assert read[key]["count"] == cell.count
        assert read[key].get("price_sum") == (price.total if price.n else None)
        assert read[key].get("wait_ms_max") == (wait.high / 1000 if wait.n else None)
        assert read[key].get("wait_ms_p50") == (pytest.approx(quantile(wait.bins, 0.5) / 1000) if wait.n else None)


def test_the_docs_tell_every_key():
    names, source = Names("NS"), Source("SOURCE", "", 0)
    keys = [
        names.sources,
        names.source_state(source),
        names.source_buckets(source),
        names.source_ids(source),
        names.source_cells(source, "BUCKET", "fast"),
        names.source_cells(source, "BUCKET", "slow"),
        *(names.table("TABLE", part) for part in ("writer", "merged", "changed", "stale", "groups")),
        *(f"{names.table('TABLE', resolution)}:GROUP" for resolution in RESOLUTIONS),
        names.leader,
        names.alert_states,
        names.baselines,
        names.imports,
        *(names.notifier(part) for part in ("leader", "incidents", "commands", "handovers", "proofs", "reports")),
        names.answer("ID"),
        names.notifier_process("NAME"),
        names.worker("NAME"),
        names.saved_queries,
        names.checklists,
        "NS:console:frozen:ID",
        *(names.console(part) for part in ("users", "tokens", "session:HASH", "once:HASH", "flow:HASH", "audit")),
    ]
    told = re.findall(r"^\| `(NS:[^`]+)` \|", DOCS, re.MULTILINE)
    assert sorted(told) == sorted(key.replace(str(source), "SOURCE") for key in keys)


def test_the_docs_tell_the_grids_as_they_are():
    def steps(grid):
        return [round(1_000 * (high - low)) for low, high in pairwise(grid.quantiles)]

    assert steps(COARSE_GRID) == [50] * 10 + [25] * 16 + [10] * 9 + [5] * 2
    assert steps(FINE_GRID) == [20] * 45 + [5] * 14 + [1] * 30
    assert (COARSE_GRID.quantiles.index(0.5), FINE_GRID.quantiles.index(0.5)) == (10, 25)
    assert f"a 1 min row above {FINE_GRID.long} bins, a 1 h row above {COARSE_GRID.long}" in DOCS
