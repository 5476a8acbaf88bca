"""The reports that were written: files in `reports` of the data folder, the last 500 of them."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

from console.reports.periods import Kind, Period, period_of

FOLDER = "reports"
KEPT = 500
"""Files that are kept; the oldest go."""
_NAMES: dict[Kind, re.Pattern[str]] = {
    "daily": re.compile(r"daily-(\d{4})-(\d{2})-(\d{2})\.html", re.ASCII),
    "weekly": re.compile(r"weekly-(\d{4})-W(\d{2})\.html", re.ASCII),
    "monthly": re.compile(r"monthly-(\d{4})-(\d{2})\.html", re.ASCII),
}


@dataclass(frozen=True, slots=True)
class Kept:
    """A report that was written. made_ms: when."""

    file: str
    period: Period
    made_ms: int


def file_of(period: Period) -> str:
    """What the file of its report is called."""
    return f"{period.kind}-{period.name}.html"


def period_in(file: str, zone: ZoneInfo) -> Period | None:
    """The period whose report a file of this name is; None where it is none."""
    for kind, names in _NAMES.items():
        found = names.fullmatch(file)
        if found is not None:
            with contextlib.suppress(ValueError):
                year, part, *day = map(int, found.groups())
                first = date.fromisocalendar(year, part, 1) if kind == "weekly" else date(year, part, *(day or (1,)))
                return period_of(kind, first, zone)
    return None


def keep(folder: Path, period: Period, content: str) -> None:
    """Writes a report, as a whole or not at all; the oldest go. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    name = file_of(period)
    unfinished = folder / f".{name}"
    unfinished.write_text(content, encoding="utf-8")
    os.replace(unfinished, folder / name)
    found = sorted(folder.glob("[a-z]*.html"), key=lambda one: one.stat().st_mtime)
    for old in found[: max(0, len(found) - KEPT)]:
        old.unlink(missing_ok=True)


def shelf(folder: Path, zone: ZoneInfo) -> Sequence[Kept]:
    """All that are kept, those that end last first; none where there is no such folder."""
    found = []
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            period = period_in(path.name, zone)
            if period is not None:
                found.append(Kept(path.name, period, round(path.stat().st_mtime * 1000)))
    return sorted(found, key=lambda one: (one.period.last, one.period.first), reverse=True)


def content(folder: Path, file: str, zone: ZoneInfo) -> str | None:
    """The page of one; None where there is none of this name."""
    if period_in(file, zone) is None:  # nothing else in there can be asked for, nor anything elsewhere
        return None
    try:
        return (folder / file).read_text(encoding="utf-8")
    except OSError:
        return None
