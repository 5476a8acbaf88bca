"""`tillwatch baseline import`: history from a file for the baselines of a signal."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cli import installation
from cli.errors import explained
from cli.series import read_series
from cli.terminal import USAGE, fail, note, print_json, say

if TYPE_CHECKING:
    from rules.baseline.history import History
    from rules.loader import RuleSet
    from rules.signals import Signal
    from runtime.settings import Settings
    from schemas.tables import Value


def import_history(file: Path, *, signal: str, group: Sequence[str], as_json: bool) -> int:
    """Hands history to whoever leads now or later. What cannot be read or means nothing ends with 2."""
    from schemas.time import rfc3339

    settings = installation.settings()
    rules, known = _known(settings)
    found = known.get(signal)
    if found is None:
        from runtime.suggest import nearest, quoted

        near = nearest(signal, known)
        fail(f"no signal {quoted(signal)}" + (f" (did you mean {near}?)" if near else ""), USAGE)
    if found.aggregate not in ("count", "sum"):
        fail(f"a baseline is learned of counts and totals; {signal} is a {found.aggregate}", USAGE)
    named = _group(found, group)
    history = read_series(file)
    for remark in history.remarks:
        note(remark, style="yellow")
    if not history.counts and found.aggregate == "count":
        fail(f"{file}: {signal} is a count: its values are whole numbers of at least 0", USAGE)
    try:
        rows = asyncio.run(_store(settings, signal, named, history))
    except Exception as error:
        told = explained(error)
        if told is None:
            raise
        fail(told[0], USAGE)
    first, last = history.rows[-rows][0], history.rows[-1][0] + history.step_ms
    users = _users(rules, signal, named)
    if as_json:
        told_json = {"signal": signal, "group": named, "rows": rows, "step_s": history.step_ms // 1000, "rules": users}
        print_json(told_json | {"from": rfc3339(first), "to": rfc3339(last)})
        return 0
    say(f"{rows:,} rows of {history.step_ms // 60_000} min, {rfc3339(first)} to {rfc3339(last)}")
    if rows < len(history.rows):
        note(f"{len(history.rows) - rows:,} rows before that are older than the five weeks that a baseline looks back")
    if users:
        say(f"{', '.join(users)}: learned anew within seconds where a worker runs, else when one starts")
    else:
        note(f"no rule compares {signal}{_text(named)} with its baseline: kept until one does", style="yellow")
    return 0


def _known(settings: Settings) -> tuple[RuleSet, Mapping[str, Signal]]:
    from rules.loader import Unreadable, load, signals

    paths = None if settings.rules is None else [settings.rules]
    try:
        return load(paths, settings.bucket_ms), signals(paths)
    except Unreadable as error:
        fail(str(error), USAGE)


def _group(signal: Signal, texts: Sequence[str]) -> dict[str, Value]:
    """The dimensions of `k=v` texts, in the kinds that the table has."""
    from runtime.suggest import nearest, quoted
    from schemas.tables import TABLES

    table = TABLES[signal.tables[0]]
    kinds = {name: kind for held in signal.tables for name, kind in TABLES[held].kinds.items()} | dict(table.kinds)
    found: dict[str, Value] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not value:
            fail(f"--group takes a dimension and its value such as provider=ozow, not {text!r}", USAGE)
        if name not in kinds:
            near = nearest(name, kinds)
            hint = f" (did you mean {near}?)" if near else ""
            fail(f"{signal.name} has no dimension {quoted(name)}; it has {', '.join(kinds)}{hint}", USAGE)
        kind = kinds[name]
        if (kind == "bool" and value not in ("true", "false")) or (kind == "int" and not value.isdecimal()):
            fail(f"{name} is {'true or false' if kind == 'bool' else 'a whole number'}, not {value!r}", USAGE)
        found[name] = value == "true" if kind == "bool" else int(value) if kind == "int" else value
    return found


async def _store(settings: Settings, signal: str, group: Mapping[str, Value], history: History) -> int:
    from agents import imports
    from runtime.redis import check, connect

    redis = connect(settings)
    try:
        await check(redis)
        return await imports.store(redis, settings.names, signal, group, history)
    finally:
        await redis.aclose()


def _users(rules: RuleSet, signal: str, group: Mapping[str, Value]) -> list[str]:
    """The rules that have a baseline of this series."""
    return [
        rule.name
        for rule in rules.rules
        for part in rule.parts
        if rule.enabled and part.baseline is not None and part.group_of(signal, group) is not None
    ]


def _text(group: Mapping[str, Value]) -> str:
    return f" of {', '.join(f'{name} {value}' for name, value in group.items())}" if group else ""
