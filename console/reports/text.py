"""A report as plain text, for a terminal and for the body of an e-mail."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from console.reports.money import money
from console.reports.periods import local
from console.reports.report import Figure, Report, written
from console.words import counted, duration

_WIDE = 44


def summary(told: Report) -> list[str]:
    """The figures that matter, a line each; the sentence is not among them."""
    lines = [told.why, *told.remarks]
    lines += [_figure(one) for one in told.payments if one.target is not None]
    lines += [f"Revenue: {money(one.amount, one.currency)}" for one in told.revenue]
    times = (("detect", told.operations.mttd), ("acknowledge", told.operations.mtta), ("resolve", told.operations.mttr))
    lines += [
        f"Mean time to {name}: {duration(mean.seconds)}, of {counted(mean.of, 'incident')}"
        for name, mean in times
        if mean.seconds is not None
    ]
    return lines + [f"To review: {one}" for one in told.review]


def text(told: Report) -> str:
    """All of it but the steps."""
    zone = ZoneInfo(told.zone)
    lines = [told.title, told.sentence, told.why, *(f"Note: {one}" for one in told.remarks), "", "Payments"]
    lines += [f"  {_figure(one)}" for one in told.payments]
    lines += [f"  {f'revenue in {one.currency}':{_WIDE}}{money(one.amount, one.currency)}" for one in told.revenue]
    lines += ["", "Providers, the worst first"]
    lines += [
        f"  {one.provider:{_WIDE}}{written('ratio', one.success_rate)} of {written('count', one.payments)}"
        for one in told.providers
    ]
    lines += ["", f"Incidents: {told.operations.opened}"]
    lines += [
        f"  #{one.number} {one.level} {local(one.opened, zone):%d %b %H:%M} {one.title} ({one.status})"
        for one in told.incidents
    ]
    times = (("detect", told.operations.mttd), ("acknowledge", told.operations.mtta), ("resolve", told.operations.mttr))
    lines += [
        f"  {f'mean time to {name}':{_WIDE}}{'–' if mean.seconds is None else duration(mean.seconds)} (of {mean.of})"
        for name, mean in times
    ]
    noisy = [one for one in told.rules if one.noisy]
    lines += ["", "Noisy rules" if noisy else "No noisy rule"]
    lines += [f"  {one.rule:{_WIDE}}{one.unattended} of {one.incidents} over before anybody took them" for one in noisy]
    lines += ["", "System and security", *(f"  {_figure(one)}" for one in told.system)]
    lines += ["", "To review", *(f"  - {one}" for one in told.review or ("nothing stands out",))]
    return "\n".join(lines) + "\n"


def _figure(one: Figure) -> str:
    said = f"{one.title:{_WIDE}}{written(one.unit, one.value)}"
    if one.before is not None:
        said += f" (before: {written(one.unit, one.before)})"
    if one.target is not None:
        side, limit = ("above", one.target.above) if one.target.above is not None else ("below", one.target.below)
        met = {True: "met", False: "MISSED", None: "not known"}[one.target.met]
        said += f", target {side} {written(one.unit, limit)}: {met}"
    return said
