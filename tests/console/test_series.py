"""What pages read: always what the table says now, whatever was kept."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from console import kpis
from console import series as module
from console.problems import Refused
from console.readings import FINE_MS, MINUTE_MS, Totals, Window
from console.series import Cut, Series
from console.span import View, view_of
from rollups.cells import Cell
from rollups.tables import CHANGES_KEPT, DAY, HOUR, TableStore
from runtime.clock import ManualClock
from runtime.names import Names
from schemas.tables import TABLES, Key
from tests.console.rows import NOW_MS, cells, failed, paid
from tests.support.store import KillableStore

END = NOW_MS - NOW_MS % HOUR + HOUR
CUT = Cut("payments", frozenset({"outcome", "provider"}), sketches=True)


@pytest.fixture
async def tables(store: KillableStore, namespace: str) -> AsyncIterator[TableStore]:
    redis = Redis.from_url(store.url)
    found = TableStore(redis, Names(namespace))
    await found.take("one")
    yield found
    await redis.aclose()


def projected(cut: Cut, cells: dict[Key, Cell]) -> dict[Key, Cell]:
    """The cells added up over the dimensions that the cut does not keep, one by one."""
    total: dict[Key, Cell] = {}
    for key, cell in cells.items():
        group = tuple(
            part if name in cut.by else None for name, part in zip(TABLES[cut.table].dimensions, key, strict=True)
        )
        total.setdefault(group, Cell()).add(cell, sketches=cut.sketches)
    return total


async def direct(tables: TableStore, cut: Cut, window: Window) -> dict[Key, Cell]:
    """The sum of the 10 s rows, without anything kept."""
    total: dict[Key, Cell] = {}
    async for rows in tables.chunks(cut.table, "10s", window.start_ms, window.end_ms):
        for held in rows.values():
            module.add(total, projected(cut, held), cut.sketches)
    return total


async def test_what_is_kept_is_what_the_table_says_after_every_write(tables: TableStore) -> None:
    rng = random.Random(3)
    reader = Series(tables, lambda: NOW_MS)
    view = View(Window(END - 3 * HOUR, END), "1m", 5 * MINUTE_MS, True)
    for _ in range(12):
        # Now, and late: any bucket of the three hours may be written again.
        starts = [rng.randrange(view.window.start_ms, NOW_MS, FINE_MS) for _ in range(rng.randint(1, 4))]
        rows = {
            start: cells("payments", [paid(rng.randint(1, 9), provider=rng.choice("ab")), failed(2)])
            for start in starts
        }
        await tables.write("payments", rows, {})
        if rng.random() < 0.4:
            await tables.materialise("payments", NOW_MS - rng.randrange(0, HOUR))
        steps = await reader.steps(CUT, view)
        assert module.whole(steps, True) == await direct(tables, CUT, view.window)
        for start, held in steps.items():
            assert held == await direct(tables, CUT, Window(start, start + view.step_ms))
        back = rng.choice((1, 20, 55, 170)) * MINUTE_MS
        window = Window(NOW_MS - NOW_MS % FINE_MS - back, NOW_MS - NOW_MS % FINE_MS + FINE_MS)
        assert await reader.totals(CUT, window) == await direct(tables, CUT, window)


def p95(held: Totals) -> float | None:
    return kpis.quantile_of([cell.stats[1] for cell in held.values() if len(cell.stats) > 1], 0.95)


@pytest.mark.parametrize("seed", range(3))
async def test_what_steps_are_told_by_and_totals_are_right_as_time_goes_on(tables: TableStore, seed: int) -> None:
    """Late events, rows that are thinned, an emptied store, another writer: in any order."""
    rng = random.Random(seed)
    clock = ManualClock(END / 1000 - rng.randrange(3600))
    reader = Series(tables, lambda: int(clock.now() * 1000))
    written: dict[int, dict[Key, Cell]] = {}

    def truly(cut: Cut, window: Window) -> dict[Key, Cell]:
        total: dict[Key, Cell] = {}
        for at in range(window.start_ms, window.end_ms, FINE_MS):
            if held := written.get(at):
                module.add(total, projected(cut, held), cut.sketches)
        return total

    async def write(starts: Iterable[int]) -> None:
        rows = {at: {**written.get(at, {})} for at in starts}
        for held in rows.values():
            some = paid(rng.randint(1, 9), provider=rng.choice("ab"), latency_ms=rng.choice((200.0, 900.0)))
            module.add(held, cells("payments", [some]))
        await tables.write("payments", rows, {})
        written.update(rows)

    now_ms = int(clock.now() * 1000)
    await write(now_ms - now_ms % FINE_MS - ago * FINE_MS for ago in range(1, 3_000, 7))
    for _ in range(20):
        now_ms = int(clock.now() * 1000)
        await tables.materialise("payments", now_ms - 40_000)
        how = rng.random()
        if how < 0.1:
            await tables.expire("payments", now_ms)
        elif how < 0.15:
            await tables._redis.flushall()
            written.clear()
            await tables.take("two")
        open_ms = now_ms - now_ms % FINE_MS
        late = [open_ms - rng.randrange(700) * FINE_MS for _ in range(rng.randint(0, 2))]
        await write({open_ms, *late})
        for length in rng.sample(("20m", "1h", "6h", "24h"), 2):
            view = view_of(length, None, None, "1h", now_ms)
            steps = await reader.steps(replace(CUT, told=p95), view)
            for start in view.starts:
                wanted = truly(CUT, Window(start, start + view.step_ms))
                held = steps.get(start, {})
                assert {key: cell.count for key, cell in held.items()} == {key: cell.count for key, cell in wanted.items()}
                assert (module.made(held, p95, p95) if held else None) == p95(wanted)
            assert await reader.totals(CUT, view.window) == truly(CUT, view.window)
            counts = replace(CUT, sketches=False, measures=module.COUNTS)
            counted = await reader.totals(counts, view.window, coarsest=view.resolution)
            assert {key: cell.count for key, cell in counted.items()} == {
                key: cell.count for key, cell in truly(CUT, view.window).items()
            }
            assert not any(cell.stats for cell in counted.values())
        clock.advance(rng.choice((1, 9, 40, 400)))


async def test_a_step_that_is_over_is_told_without_its_sketches_until_a_late_event(tables: TableStore) -> None:
    view, old = View(Window(END - 2 * HOUR, END), "1m", MINUTE_MS, True), END - 2 * HOUR
    await tables.write(
        "payments", {at: cells("payments", [paid(5)]) for at in range(old, NOW_MS, MINUTE_MS)}, {}
    )
    reader, told = Series(tables, lambda: NOW_MS), replace(CUT, told=p95)
    steps = await reader.steps(told, view)
    assert not any(stat.bins for cell in steps[old].values() for stat in cell.stats)
    assert (place := (CUT, "1m", MINUTE_MS)) in reader._kept and old not in reader._kept[place]
    before = module.made(steps[old], p95, p95)
    await tables.write("payments", {old: cells("payments", [failed(500)])}, {})
    again = await reader.steps(told, view)
    assert module.made(again[old], p95, p95) == p95(await direct(tables, CUT, Window(old, old + MINUTE_MS))) != before
    assert again[old + MINUTE_MS] is steps[old + MINUTE_MS]


async def test_what_a_step_is_made_into_is_made_once(tables: TableStore) -> None:
    view = View(Window(END - HOUR, END), "1m", MINUTE_MS, True)
    await tables.write("payments", {END - HOUR: cells("payments", [paid(5)])}, {})
    reader, asked = Series(tables, lambda: NOW_MS), 0

    def count(held: Totals) -> int:
        nonlocal asked
        asked += 1
        return sum(cell.count for cell in held.values())

    for _ in range(2):
        assert module.made((await reader.steps(CUT, view))[END - HOUR], "count", count) == 5
    assert asked == 1
    await tables.write("payments", {END - HOUR: cells("payments", [paid(7)])}, {})
    assert module.made((await reader.steps(CUT, view))[END - HOUR], "count", count) == 7
    assert module.made({}, "count", count) == 0


async def test_a_sum_of_a_window_that_goes_on_is_what_it_was_and_what_came(
    tables: TableStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, start, now_ms = ManualClock(NOW_MS / 1000 + 600), END - 4 * HOUR, NOW_MS + 10 * MINUTE_MS
    await tables.write("payments", {at: cells("payments", [paid(5)]) for at in range(start, NOW_MS + HOUR, MINUTE_MS)}, {})
    reader, window = Series(tables, lambda: int(clock.now() * 1000)), Window(start, END + 3 * HOUR)
    await reader.totals(CUT, window)
    summed: list[Window] = []
    sums = reader._sum

    async def spied(cut: Cut, coarsest: str, part: Window, beside: Sequence[Cut]) -> Totals | None:
        summed.append(part)
        return await sums(cut, coarsest, part, beside)

    monkeypatch.setattr(reader, "_sum", spied)
    clock.advance(60)
    assert await reader.totals(CUT, window) == await direct(tables, CUT, window)
    assert summed and min(part.start_ms for part in summed) > now_ms - 2 * MINUTE_MS
    late = start + MINUTE_MS
    await tables.write("payments", {late: cells("payments", [paid(7)])}, {})
    assert await reader.totals(CUT, window) == await direct(tables, CUT, window)


async def test_a_table_is_asked_once_for_an_answer_what_changed(
    tables: TableStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = View(Window(END - HOUR, END), "1m", MINUTE_MS, True)
    reader, asked, changes = Series(tables, lambda: NOW_MS), 0, tables.changes

    async def counted(*args: Any) -> Any:
        nonlocal asked
        asked += 1
        return await changes(*args)

    monkeypatch.setattr(tables, "changes", counted)

    async def read(series: Series) -> int:
        await series.steps(CUT, view)
        return sum(cell.count for cell in (await series.totals(CUT, view.window)).values())

    assert (await reader.together(read), asked) == (0, 1)
    await tables.write("payments", {END - HOUR: cells("payments", [paid(5)])}, {})
    assert (await reader.together(read), asked) == (5, 2)


async def test_cuts_that_are_read_beside_are_what_they_would_be_alone(
    tables: TableStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = View(Window(END - 3 * HOUR, END), "1m", 2 * MINUTE_MS, True)
    plain = Cut("payments", frozenset({"outcome"}))
    rows = {at: cells("payments", [paid(5), failed(2, provider="b")]) for at in range(END - 3 * HOUR, NOW_MS, 40_000)}
    await tables.write("payments", rows, {})
    alone, beside = Series(tables, lambda: NOW_MS), Series(tables, lambda: NOW_MS)
    wanted = await alone.steps(CUT, view)
    assert await beside.steps(plain, view, (CUT,)) == await alone.steps(plain, view)
    assert not any(
        stat.bins
        for held in (await beside.steps(plain, view)).values()
        for cell in held.values()
        for stat in cell.stats
    )
    asked = 0
    packed = tables.packed

    def counted(*args: Any) -> object:
        nonlocal asked
        asked += 1
        return packed(*args)

    monkeypatch.setattr(tables, "packed", counted)
    assert await beside.steps(CUT, view) == wanted
    assert asked == 0
    start = END - 2 * HOUR
    await tables.write("payments", {start: cells("payments", [paid(7)])}, {})
    assert await beside.steps(CUT, view) == await alone.steps(CUT, view) != wanted


async def test_who_is_out_of_time_goes_on_where_it_was(tables: TableStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollups.tables.READ_AT_ONCE", 20)
    view = View(Window(END - 4 * HOUR, END - HOUR), "1m", MINUTE_MS, False)
    await tables.write(
        "payments", {at: cells("payments", [paid(5)]) for at in range(END - 4 * HOUR, END - HOUR, MINUTE_MS)}, {}
    )
    reader, packed = Series(tables, lambda: NOW_MS + HOUR), tables.packed
    seen: list[int] = []

    async def cut_off(*args: Any) -> AsyncIterator[object]:
        at = 0
        async for rows in packed(*args):
            seen.append(len(rows))
            yield rows
            at += 1
            if at == 3:
                raise TimeoutError

    monkeypatch.setattr(tables, "packed", cut_off)
    for _ in range(4):
        try:
            found = await reader.steps(CUT, view)
            break
        except TimeoutError:
            pass
    assert len(found) == 180 and sum(seen) < 200, "hardly anything is read twice"


async def test_nothing_is_read_again_that_did_not_change(tables: TableStore, monkeypatch: pytest.MonkeyPatch) -> None:
    view = View(Window(END - 2 * HOUR, END), "1m", MINUTE_MS, True)
    old, late = END - 2 * HOUR, END - 90 * MINUTE_MS
    await tables.write(
        "payments", {at: cells("payments", [paid(5)]) for at in range(old, NOW_MS - HOUR, MINUTE_MS)}, {}
    )
    reader = Series(tables, lambda: NOW_MS)
    first = await reader.steps(CUT, view)
    asked: list[tuple[str, int, int]] = []
    packed = tables.packed

    def spied(table: str, resolution: str, start: int, end: int) -> object:
        asked.append((resolution, start, end))
        return packed(table, resolution, start, end)

    monkeypatch.setattr(tables, "packed", spied)
    assert await reader.steps(CUT, view) == first
    assert asked == []
    await tables.write("payments", {late: cells("payments", [paid(7)])}, {})
    again = await reader.steps(CUT, view)
    assert asked == [("1m", late, late + MINUTE_MS)]
    assert sum(cell.count for cell in again[late].values()) == 7


async def test_a_row_that_changed_is_read_once_for_all_who_kept_it(
    tables: TableStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = View(Window(END - HOUR, END), "1m", MINUTE_MS, True)
    others = [Cut("payments", frozenset(by)) for by in ((), ("outcome",), ("outcome", "fault"))]
    now = NOW_MS - NOW_MS % FINE_MS
    await tables.write("payments", {now: cells("payments", [paid(5)])}, {})
    reader = Series(tables, lambda: NOW_MS)
    for cut in (CUT, *others):
        await reader.steps(cut, view)
    await tables.write("payments", {now: cells("payments", [paid(7), failed(2)])}, {})
    wanted = [await direct(tables, cut, view.window) for cut in (CUT, *others)]
    asked: list[tuple[str, int, int]] = []
    packed = tables.packed

    def spied(table: str, resolution: str, start: int, end: int) -> object:
        asked.append((resolution, start, end))
        return packed(table, resolution, start, end)

    monkeypatch.setattr(tables, "packed", spied)
    assert [module.whole(await reader.steps(cut, view), True) for cut in (CUT, *others)] == wanted
    assert asked == [("10s", now, now + FINE_MS)]


async def test_a_long_look_lets_others_have_their_turn(tables: TableStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_IN_TURN", 10)
    start, end = END - 5 * HOUR, END - HOUR
    await tables.write("payments", {at: cells("payments", [paid(5)]) for at in range(start, end, MINUTE_MS)}, {})
    reader = Series(tables, lambda: NOW_MS)
    order: list[str] = []

    async def look(name: str, window: Window) -> None:
        assert await reader.steps(CUT, View(window, "1m", MINUTE_MS, False))
        order.append(name)

    async with asyncio.TaskGroup() as group:
        group.create_task(look("long", Window(start, end)))
        group.create_task(look("short", Window(end - 10 * MINUTE_MS, end)))
    assert order == ["short", "long"]


async def test_what_was_made_of_steps_is_made_again_once_one_is_another(tables: TableStore) -> None:
    view = View(Window(END - 2 * HOUR, END), "1m", MINUTE_MS, True)
    late = END - 90 * MINUTE_MS
    await tables.write("payments", {late: cells("payments", [paid(5)]), late + HOUR: cells("payments", [paid(1)])}, {})
    reader = Series(tables, lambda: NOW_MS)
    made = 0

    async def count() -> int:
        def make() -> int:
            nonlocal made
            made += 1
            return sum(cell.count for held in steps for cell in held.values())

        steps = [*(await reader.steps(CUT, view)).values()]
        return reader.remembered("count", steps, make)

    assert (await count(), await count(), made) == (6, 6, 1)
    await tables.write("payments", {late: cells("payments", [paid(7)])}, {})
    assert (await count(), made) == (8, 2)


async def test_who_reads_seldom_forgets_everything_when_too_much_changed(tables: TableStore) -> None:
    mark, _ = await tables.changes("payments", None)
    one = NOW_MS - NOW_MS % FINE_MS
    await tables.write("payments", {one: cells("payments", [paid()])}, {})
    mark, changed = await tables.changes("payments", mark)
    assert changed == {one}
    assert (await tables.changes("payments", mark))[1] == frozenset()
    many = {one - FINE_MS * ago: cells("payments", [paid()]) for ago in range(CHANGES_KEPT + 1)}
    await tables.write("payments", many, {})
    assert (await tables.changes("payments", mark))[1] is None


@pytest.mark.parametrize("how", ["another writer", "an emptied store"])
async def test_a_table_whose_history_is_another_is_read_anew(tables: TableStore, namespace: str, how: str) -> None:
    one = NOW_MS - NOW_MS % FINE_MS
    await tables.write("payments", {one: cells("payments", [paid()])}, {})
    mark, _ = await tables.changes("payments", None)
    if how == "another writer":
        await tables.take("two")
    else:
        await tables._redis.flushall()
    assert (await tables.changes("payments", mark))[1] is None


async def test_what_is_kept_is_bounded(tables: TableStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_CELLS", 50)
    start = END - HOUR
    many = {
        at: cells("payments", [paid(1, provider=f"p{n}") for n in range(9)]) for at in range(start, NOW_MS, MINUTE_MS)
    }
    await tables.write("payments", many, {})
    reader = Series(tables, lambda: NOW_MS)
    for length in (1, 2, 3, 5):
        view = View(Window(start, start + 5 * MINUTE_MS * length), "1m", MINUTE_MS, False)
        assert module.whole(await reader.steps(CUT, view), True) == await direct(tables, CUT, view.window)
        kept = [module._weight(place[0], cells) for place, steps in reader._kept.items() for cells in steps.values()]
        assert sum(reader._weights.values()) == sum(kept) <= 50


# --- the time that is shown ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "resolution", "step"),
    [("10m", "10s", FINE_MS), ("1h", "1m", MINUTE_MS), ("6h", "1m", 2 * MINUTE_MS), ("24h", "1m", 5 * MINUTE_MS),
     ("7d", "1h", HOUR), ("31d", "1h", 4 * HOUR), ("365d", "1h", DAY)],
)  # fmt: skip
def test_a_length_ends_now_in_whole_steps_of_what_exists(length: str, resolution: str, step: int) -> None:
    view = view_of(length, None, None, "1h", NOW_MS)
    assert (view.resolution, view.step_ms, view.live) == (resolution, step, True)
    assert view.window.start_ms % step == 0 and view.window.end_ms - step <= NOW_MS < view.window.end_ms
    assert 60 <= len(view.starts) <= 400


def test_a_time_that_was_brushed_is_shown_at_the_finest_that_is_still_kept() -> None:
    def brushed(start: str, end: str) -> View:
        return view_of(None, start, end, "1h", NOW_MS)

    recent = brushed("2026-09-21T11:00:00Z", "2026-09-21T11:20:05Z")
    assert (recent.resolution, recent.live) == ("10s", False)
    assert recent.window.end_ms - recent.window.start_ms == 20 * MINUTE_MS + FINE_MS
    assert brushed("2026-09-21T01:00:00Z", "2026-09-21T01:20:00Z").resolution == "1m"
    assert brushed("2026-09-11T01:00:00Z", "2026-09-11T03:00:00Z").resolution == "1h"


@pytest.mark.parametrize(
    ("length", "start", "end"),
    [("soon", None, None), ("0s", None, None), ("999d", None, None), (None, "2026-09-21T12:00:00Z", "2026-09-21T11:00:00Z"),
     (None, "yesterday", None), (None, "2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z")],
)  # fmt: skip
def test_other_times_are_refused(length: str | None, start: str | None, end: str | None) -> None:
    with pytest.raises(Refused) as refused:
        view_of(length, start, end, "1h", NOW_MS)
    assert refused.value.status == 400
