"""Charts of a report as inline SVG: bars and lines over the steps of a period. A step of which nothing is known is a gap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 708, 10, 128
_BAR = 0.72
"""How much of its step a bar takes."""
Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Axis:
    """low, high: what the chart reaches over; marks: values with what stands beside them; limit: a dashed line, named."""

    low: float
    high: float
    marks: Sequence[tuple[float, str]]
    limit: tuple[float, str] | None = None

    def y(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / ((self.high - self.low) or 1)
        return round(_BOTTOM - share * (_BOTTOM - _TOP), 1)


def bars(values: Values, axis: Axis, labels: Sequence[tuple[int, str]], finding: str) -> str:
    """One bar a step. labels: (step, text) below it; finding: what the chart shows, in words."""
    wide = _step(values)
    drawn = [
        f'<rect x="{_LEFT + (at + (1 - _BAR) / 2) * wide:.1f}" y="{axis.y(value)}" width="{wide * _BAR:.1f}" '
        f'height="{_BOTTOM - axis.y(value):.1f}"/>'
        for at, value in enumerate(values)
        if value is not None
    ]
    return _chart(values, axis, labels, finding, f'<g class="bars">{"".join(drawn)}</g>')


def line(values: Values, axis: Axis, labels: Sequence[tuple[int, str]], finding: str) -> str:
    """A line through the middle of each step, broken where nothing is known; a step alone is a dot."""
    wide = _step(values)
    drawn, run = [], list[str]()
    for at, value in enumerate([*values, None]):
        if value is not None:
            run.append(f"{_LEFT + (at + 0.5) * wide:.1f},{axis.y(value)}")
        elif len(run) > 1:
            drawn.append(f'<polyline class="line" points="{" ".join(run)}"/>')
            run = []
        elif run:
            x, _, y = run.pop().partition(",")
            drawn.append(f'<circle class="dot" cx="{x}" cy="{y}" r="2"/>')
    return _chart(values, axis, labels, finding, "".join(drawn))


def _step(values: Values) -> float:
    return (_RIGHT - _LEFT) / max(len(values), 1)


def _chart(values: Values, axis: Axis, labels: Sequence[tuple[int, str]], finding: str, drawn: str) -> str:
    wide = _step(values)
    grid = [
        f'<line class="grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{axis.y(value)}" y2="{axis.y(value)}"/>'
        f'<text x="{_LEFT - 6}" y="{axis.y(value) + 4}" text-anchor="end">{escape(text)}</text>'
        for value, text in axis.marks
    ]
    gaps = [
        f'<rect class="gap" x="{_LEFT + at * wide:.1f}" y="{_BOTTOM - 6}" width="{wide:.1f}" height="6"/>'
        for at, value in enumerate(values)
        if value is None
    ]
    named = [
        f'<text x="{_LEFT + (at + 0.5) * wide:.1f}" y="{_BOTTOM + 15}" text-anchor="middle">{escape(text)}</text>'
        for at, text in labels
    ]
    limit = ""
    if axis.limit is not None:
        value, words = axis.limit
        y = axis.y(value)
        limit = (
            f'<line class="limit" x1="{_LEFT}" x2="{_RIGHT}" y1="{y}" y2="{y}"/>'
            f'<text class="limit" x="{_RIGHT}" y="{y - 4}" text-anchor="end">{escape(words)}</text>'
        )
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(finding)}">'
        f"{''.join(grid)}{''.join(gaps)}{drawn}{limit}{''.join(named)}</svg>"
    )


def round_up(value: float) -> float:
    """The next of 1, 2, 2.5, 5, 10, … that is not below."""
    if value <= 0:
        return 1.0
    unit = 1.0
    while unit * 10 <= value:
        unit *= 10
    while unit > value:
        unit /= 10
    return next(unit * step for step in (1, 2, 2.5, 5, 10) if unit * step >= value)
