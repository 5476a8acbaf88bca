"""`tillwatch metrics`: what each signal is now."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from cli import installation
from cli.terminal import USAGE, fail, note, out, print_json

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from rich.table import Table

    from console.signals import SignalGroup, SignalNow, Signals
    from rules.rule import Rule
    from runtime.clock import Clock
    from runtime.settings import Settings

EVERY_S = 2.0
_STYLES = {"firing": "bold red", "missed": "red", "no_data": "yellow", "behind": "yellow", "pending": "yellow", "ok": "green"}


def metrics(wanted: list[str], watch: bool, as_json: bool) -> int:
    """Prints them, once or again and again until Ctrl-C."""
    from rules.signals import shipped
    from runtime.suggest import nearest, quoted

    for name in wanted:
        if name not in shipped():
            near = nearest(name, shipped())
            fail(f"no signal {quoted(name)}" + (f" (did you mean {near}?)" if near else ""), USAGE)
    names = tuple(wanted or shipped())
    try:
        asyncio.run(_tell(names, watch, as_json))
    except KeyboardInterrupt:
        if not watch:
            raise
    return 0


async def _tell(names: tuple[str, ...], watch: bool, as_json: bool) -> None:
    from cli.packs import rule_set
    from runtime.redis import check, connect

    settings = installation.settings()
    clock, rules = installation.clock(settings), rule_set(settings).rules
    redis = connect(settings)
    try:
        await check(redis)
        if not watch:
            _show(await _read(redis, settings, clock, names, rules), as_json, indent=2)
        elif as_json:
            while True:
                _show(await _read(redis, settings, clock, names, rules), as_json, indent=None)
                await asyncio.sleep(EVERY_S)
        else:
            await _follow(redis, settings, clock, names, rules)
    finally:
        await redis.aclose()


async def _read(
    redis: Redis, settings: Settings, clock: Clock, names: tuple[str, ...], rules: tuple[Rule, ...]
) -> Signals:
    from console import signals
    from console.readings import Readings
    from console.series import Series

    readings = Readings(redis, settings.names, clock)
    series = Series(readings.tables, readings.now_ms)
    seen = await signals.read(series, names, readings.now_ms(), await readings.pulse())
    return signals.signals(seen, names, rules)


async def _follow(
    redis: Redis, settings: Settings, clock: Clock, names: tuple[str, ...], rules: tuple[Rule, ...]
) -> None:
    from rich.live import Live

    with Live(console=out(), auto_refresh=False) as live:
        while True:
            live.update(_table(await _read(redis, settings, clock, names, rules)), refresh=True)
            await asyncio.sleep(EVERY_S)


def _show(told: Signals, as_json: bool, indent: int | None) -> None:
    if as_json:
        print_json(told.model_dump(mode="json"), indent=indent)
        return
    out().print(_table(told))
    if told.stale:
        note(f"no worker keeps the tables up to date ({_since(told.as_of)})", style="yellow")


def _since(as_of: int | None) -> str:
    if as_of is None:
        return "up to when they are is not known"
    return f"they are up to {time.strftime('%H:%M:%S', time.gmtime(as_of / 1000))} UTC"


def _table(told: Signals) -> Table:
    """One line a signal, and one for each of its groups."""
    from rich.table import Table
    from rich.text import Text

    from console.reports.report import written

    table = Table(box=None, pad_edge=False)
    for name in ("signal", "value", "target", "state", "age"):
        table.add_column(name, justify="right" if name in ("value", "age") else "left", overflow="fold")
    for one in told.signals:
        whole = next((part for part in one.values if not part.group), None)
        table.add_row(
            Text(one.signal),
            Text("" if whole is None else written(one.unit, whole.value)),
            Text(_target(one)),
            Text(one.state, style=_STYLES.get(one.state, "dim")),
            Text("" if one.age_s is None else f"{one.age_s:.0f} s"),
        )
        for part in one.values:
            if part.group:
                table.add_row(Text(f"  {_group(part)}", style="dim"), Text(written(one.unit, part.value)), "", "", "")
        if one.groups_more:
            table.add_row(Text(f"  {one.groups_more} more", style="dim"), "", "", "", "")
    return table


def _group(part: SignalGroup) -> str:
    return ", ".join(f"{name}={'none' if value is None else value}" for name, value in part.group.items())


def _target(one: SignalNow) -> str:
    from console.reports.report import written

    if one.target is None:
        return ""
    side, limit = ("above", one.target.above) if one.target.above is not None else ("below", one.target.below)
    return f"{side} {written(one.unit, limit)}"
