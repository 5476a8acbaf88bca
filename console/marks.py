"""What charts mark: what was changed, incidents, planned work. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain

from console.readings import Totals, Window
from console.series import Cut
from console.shapes import Happened, Shape
from schemas.incident import Incident, Silence
from schemas.tables import TABLES

MOST = 8
"""Marks of one chart; of more the latest are shown, incidents before changes."""
CHANGES = Cut("changes", frozenset({"kind", "component", "version"}))
_KIND, _COMPONENT, _VERSION = (TABLES["changes"].dimensions.index(name) for name in ("kind", "component", "version"))
_BEGAN, _ENDED = "maintenance.started", "maintenance.ended"


class Stretch(Shape):
    """A time of which a chart says something. Epoch ms."""

    start: int
    end: int
    label: str


def changes(steps: Mapping[int, Totals]) -> list[Happened]:
    """What was released and configured, at the start of the step in which it was."""
    return [
        Happened(
            at=start,
            kind="deploy" if key[_KIND] == "deploy.released" else "config",
            label=" ".join(str(one) for one in (key[_COMPONENT], key[_VERSION]) if one is not None),
        )
        for start, cells in sorted(steps.items())
        for key in sorted(cells, key=str)
        if key[_KIND] not in (_BEGAN, _ENDED)
    ]


def incidents(held: Iterable[Incident], window: Window) -> list[Happened]:
    """Those that began in the window, at their first bad event."""
    return [
        Happened(at=one.since_ms, kind="incident", label=f"incident {one.number}")
        for one in held
        if window.start_ms <= one.since_ms < window.end_ms
    ]


def shown(marks: Iterable[Happened]) -> list[Happened]:
    """As many as a chart has room for, in order of time."""
    kept = sorted(marks, key=lambda one: (one.kind == "incident", one.at))[-MOST:]
    return sorted(kept, key=lambda one: one.at)


def planned(steps: Mapping[int, Totals], silences: Iterable[Silence], window: Window) -> list[Stretch]:
    """Maintenance within the window: as services told it, and as people announced it to the notifier."""
    found = [
        Stretch(start=one.start_ms, end=one.end_ms, label=f"maintenance: {one.reason}")
        for one in silences
        if one.kind == "maintenance" and one.start_ms < window.end_ms and one.end_ms > window.start_ms
    ]
    begun: dict[str, int] = {}
    for start, kind, component in sorted(_told(steps)):
        if kind == _BEGAN:
            begun.setdefault(component, start)
        else:
            since = begun.pop(component, window.start_ms)
            found.append(Stretch(start=since, end=start, label=f"maintenance: {component}"))
    ends = chain.from_iterable(
        [Stretch(start=at, end=window.end_ms, label=f"maintenance: {name}")] for name, at in begun.items()
    )
    return sorted([*found, *ends], key=lambda one: one.start)[-MOST:]


def _told(steps: Mapping[int, Totals]) -> Iterable[tuple[int, str, str]]:
    for start, cells in steps.items():
        for key in cells:
            if key[_KIND] in (_BEGAN, _ENDED):
                yield start, str(key[_KIND]), str(key[_COMPONENT])
