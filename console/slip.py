"""The arithmetic of an alert, set like a till slip: what was counted, line by line, and the comparison that decided. Pure.

The words are those of `rules.words.arithmetic`; a sentence of another form becomes a slip of its value and its threshold.
"""

from __future__ import annotations

import re

from console.incident_shapes import Line, Slip
from rules.signals import shipped
from schemas.incident import Onset

_SIGN = r"(?P<sign>[<>≤≥=≠])"
_SHARE = re.compile(
    r"(?P<k>[\d,]+) of (?P<n>[\d,]+) (?P<what>.+?)(?: in (?P<span>[\d.]+ \w+))?(?P<ago>, [\d.]+ \w+ ago)?"
    rf"(?: \((?P<share>[^)]+)\); (?P<side>lower|upper) bound (?P<bound>.+?)|: (?P<value>.+?)) {_SIGN} (?P<limit>.+)"
)
_COUNT = re.compile(rf"(?P<n>[\d,]+) (?P<what>\D.*?)(?: in (?P<span>[\d.]+ \w+))? {_SIGN} (?P<limit>[\d,.]+)")
NB = "\u00a0"


def slip(onset: Onset) -> Slip:
    """The slip of the alert that opened an incident."""
    words = onset.arithmetic
    if share := _SHARE.fullmatch(words):
        return _share(share, words)
    if count := _COUNT.fullmatch(words):
        span = f" in {count['span']}" if count["span"] else ""
        lines = [_line(f"{count['what']}{span}", count["n"]), _line("threshold", count["limit"])]
        return Slip(lines=lines, decision=_decision(count["n"], count["sign"], count["limit"]), words=words)
    lines = []
    if onset.value is not None:
        lines.append(_line("value", amount(onset.value, onset.unit)))
    if onset.threshold is not None:
        lines.append(_line("threshold", amount(onset.threshold, onset.unit)))
    return Slip(lines=lines, decision=words, words=words)


def _share(found: re.Match[str], words: str) -> Slip:
    span = (f" in {found['span']}" if found["span"] else "") + (found["ago"] or "")
    counted, bad = _parts(found["what"])
    lines = [
        _line(bad, found["k"]),
        _line(f"{counted}{span}", found["n"]),
        _line("share", found["share"] or found["value"]),
    ]
    if found["bound"]:
        lines.append(_line(f"{found['side']} bound", found["bound"]))
    lines.append(_line("threshold", found["limit"]))
    return Slip(lines=lines, decision=_decision(found["bound"] or found["value"], found["sign"], found["limit"]), words=words)


def _parts(what: str) -> tuple[str, str]:
    """Of `payments were declined` what was counted, and what some of them did."""
    known = sorted({one.bad for one in shipped().values() if one.bad}, key=len, reverse=True)
    bad = next((one for one in known if what.endswith(f" {one}")), what.rpartition(" ")[2])
    return what.removesuffix(bad).strip() or "of", bad


def _decision(value: str, sign: str, limit: str) -> str:
    return f"{_tied(value)} {sign} {_tied(limit)}, so it fires"


def _line(label: str, value: str) -> Line:
    return Line(label=label, value=_tied(value))


def _tied(text: str) -> str:
    return text.replace(" ", NB).replace(",", NB)


def amount(value: float, unit: str) -> str:
    """A figure of an alert as it is written."""
    if unit == "ratio":
        return f"{value * 100:.1f}{NB}%"
    if unit == "s":
        return f"{value * 1000:.0f}{NB}ms" if abs(value) < 1 else f"{value:.1f}{NB}s"
    if unit.startswith("minor/"):
        return f"{value / 100:,.2f}".replace(",", NB) + f"{NB}{unit.removeprefix('minor/')}"
    return f"{value:,.0f}".replace(",", NB) if float(value).is_integer() else f"{value:.2f}"
